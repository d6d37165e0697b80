"""The built files of the console: named when a node starts, read once when somebody asks.

The build (`make console`, or that of the package) leaves them in `static/`: `index.html`, and under `assets/` files
that have a digest of their content in their name. Names are looked up in a dict of what was found, so no name that a
client sends ever becomes a path. A node without built files serves one page that says what to do. One whose console
nobody opens holds no file of it.
"""

import gzip
import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

from pilothouse.ports.page import Page, Pages

MEDIA = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
    "txt": b"text/plain; charset=utf-8",
    "woff2": b"font/woff2",
}
"""Whatever else the build leaves (its stamp) is not served."""
PACKED = frozenset({"woff2"})
INDEX = "index.html"
ASSETS = "assets"


class BuiltPages(Pages):
    """`is_built` False: `find` knows only the page that says how to build."""

    def __init__(self, folder: Traversable | None = None) -> None:
        static = files(__package__) / "static" if folder is None else folder
        self._files: dict[str, Traversable] = {}
        self._pages: dict[str, Page] = {}
        self.is_built = (static / INDEX).is_file()
        if not self.is_built:
            self._files[INDEX] = files(__package__) / "unbuilt.html"
            return
        for place, prefix in ((static, ""), (static / ASSETS, f"{ASSETS}/")):
            for one in place.iterdir():
                if one.is_file() and _kind(one) in MEDIA:
                    self._files[prefix + one.name] = one

    def find(self, name: str) -> Page | None:
        page = self._pages.get(name)
        if page is None and (file := self._files.get(name)) is not None:
            page = self._pages[name] = _page(file, is_hashed=name.startswith(f"{ASSETS}/"))
        return page


def _kind(file: Traversable) -> str:
    return file.name.rpartition(".")[2]


def _page(file: Traversable, *, is_hashed: bool) -> Page:
    body, kind = file.read_bytes(), _kind(file)
    gzipped = None if kind in PACKED else gzip.compress(body, 6, mtime=0)
    if gzipped is not None and len(gzipped) >= len(body):
        gzipped = None
    tag = b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'
    return Page(body, gzipped, MEDIA[kind], tag, is_hashed)
