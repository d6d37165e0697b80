"""Where the repository's files are, for the tests that read them.

Only what git tracks is looked at by the tests of words, so a scratch file beside the tree fails nothing. Outside a
clone (an unpacked source distribution) there is nothing tracked, and those tests skip.
"""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "pilothouse"


def python_files(*folders: Path) -> list[Path]:
    """Without those of hidden folders: environments made for a measurement are not ours."""
    found = (path for folder in folders if folder.is_dir() for path in folder.rglob("*.py"))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """Files of the index that are on disk; none outside a clone."""
    if not (ROOT / ".git").exists():
        return []
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30)
    paths = (ROOT / part.decode() for part in done.stdout.split(b"\0") if part)
    return sorted(path for path in paths if path.is_file())
