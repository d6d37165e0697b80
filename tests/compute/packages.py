"""Tiny distributions, made in the folder of a test, so that real tools install them without an index.

`put_wheel` makes one that is installed as it is; `put_slow` makes one whose build says that it began and then waits for
a file, so that a test can do something in the middle of it. msgspec comes from what the tests run with.
"""

import base64
import hashlib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

BACKEND = """
import os, time, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    open({began!r}, "w").close()
    while not os.path.exists({go!r}):
        time.sleep(0.02)
    name = "slow-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("slow.py", "VERSION = 1\\n")
        wheel.writestr("slow-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1\\n")
        wheel.writestr("slow-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.dist-info/RECORD", "")
    return name

def get_requires_for_build_wheel(config_settings=None):
    return []
"""


class Packages:
    """A folder of distributions, and the option lines by which only they are found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._put_installed("msgspec")

    @property
    def options(self) -> list[str]:
        return ["--no-index", f"--find-links {self.folder}"]

    def put_wheel(self, name: str, version: str, needs: str = "", code: str | None = None) -> Path:
        files = {f"{name}.py": code if code is not None else f"VERSION = {version!r}\n"}
        facts = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files[f"{name}-{version}.dist-info/METADATA"] = facts + (f"Requires-Dist: {needs}\n" if needs else "")
        files[f"{name}-{version}.dist-info/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        return self._write(f"{name}-{version}-py3-none-any.whl", {path: text.encode() for path, text in files.items()})

    def put_slow(self, source: Path) -> tuple[Path, Path]:
        """A local package: the file that says that its build began, and the one that lets it end."""
        began, go = source.with_suffix(".began"), source.with_suffix(".go")
        source.mkdir()
        (source / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "slow"\nversion = "1"\n'
        )
        (source / "backend.py").write_text(BACKEND.format(began=str(began), go=str(go)))
        return began, go

    def _put_installed(self, name: str) -> None:
        found = distribution(name)
        files = {}
        for one in found.files or []:
            if "__pycache__" not in str(one) and not str(one).endswith(("RECORD", "INSTALLER", "REQUESTED")):
                files[str(one)] = Path(str(found.locate_file(one))).read_bytes()
        tag = next(line for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: "))
        self._write(f"{name}-{found.version}-{tag.removeprefix('Tag: ')}.whl", files)

    def _write(self, name: str, files: dict[str, bytes]) -> Path:
        stem = "-".join(name.split("-")[:2])
        path = self.folder / name
        record = []
        with zipfile.ZipFile(path, "w") as wheel:
            for member, content in files.items():
                wheel.writestr(member, content)
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                record.append(f"{member},sha256={digest},{len(content)}")
            wheel.writestr(f"{stem}.dist-info/RECORD", "\n".join([*record, f"{stem}.dist-info/RECORD,,"]) + "\n")
        return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
