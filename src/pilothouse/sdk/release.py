"""The release: a digest over the user's code, so that a run goes on with the code it started on, or stops loudly.

It covers the source files that were loaded from the project folder, the target, and the Python version. What the
project installed (an environment inside the folder) is not the project's code.
"""

import hashlib
import os
import sys
from collections.abc import Iterable

OWN_NAME = __name__.partition(".")[0]
INSTALLED = ("site-packages", "dist-packages")


def project_modules(project: str) -> dict[str, str]:
    """The loaded modules of the project: name and source file. Neither what is installed nor this program itself."""
    root = os.path.realpath(project) + os.sep
    real_folders: dict[str, str] = {}
    found = {}
    for name, module in sys.modules.copy().items():  # other threads import meanwhile; a copy is made at once
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path.endswith(".py") or name.partition(".")[0] == OWN_NAME:
            continue
        folder, file = os.path.split(path)
        if folder not in real_folders:
            real_folders[folder] = os.path.realpath(folder) + os.sep
        real = real_folders[folder]
        if real.startswith(root) and not any(part in INSTALLED for part in real[len(root) :].split(os.sep)):
            found[name] = real + file
    return found


def release_digest(target: str, project: str, sources: Iterable[str]) -> str:
    """Twelve hex digits. The place of the folder does not count, so a copy of the project has the same release."""
    digest = hashlib.blake2b(digest_size=6)
    digest.update(f"{target}\n{sys.version_info.major}.{sys.version_info.minor}\n".encode())
    root = os.path.realpath(project)
    for path in sorted(set(sources)):
        with open(path, "rb") as file:
            content = file.read()
        digest.update(f"{os.path.relpath(path, root)}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def forget_project(project: str) -> None:
    """Takes the project's modules out of `sys.modules`, so that loading them again reads the files again."""
    for name in project_modules(project):
        if name != "__main__":
            del sys.modules[name]
