"""Puts the border into client libraries at the moment in which somebody imports them, and never imports one itself.

A finder at the front of `sys.meta_path` lets the others find the module and wraps its loader, so that the patch is
applied when the module has run and before its importer sees it. What is imported already is patched at once. It stays
for the life of the process: without a border the patched functions are one look at a context variable.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # that module brings a dozen others, and a megabyte, into every host

PATCHES = {
    "httpx": "httpx_client",
    "httpx2": "httpx_client",
    "aiohttp": "aiohttp_client",
    "urllib3": "urllib3_client",
}
"""Libraries, and the adapter of each in this folder."""


def intercept() -> None:
    """A second call does nothing."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    for name in PATCHES:
        module = sys.modules.get(name)
        if module is not None:
            _patch(name, module)
    sys.meta_path.insert(0, _Finder())


def _patch(name: str, module: ModuleType) -> None:
    importlib.import_module(f"{__package__}.{PATCHES[name]}").patch(module)


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in PATCHES:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(Loader):
    """The module's own loader, and then the patch. Everything else that is asked of a loader is asked of that one."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        _patch(module.__name__, module)

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)
