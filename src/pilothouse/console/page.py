"""The built files of the console, read once when a node starts.

The build (`make console`, or that of the package) leaves them in `static/`: `index.html`, and under `assets/` files
that have a digest of their content in their name. Names are looked up in a dict of what was found, so no name that a
client sends ever becomes a path. A node without built files serves one page that says what to do.
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
        self._pages: dict[str, Page] = {}
        self.is_built = (static / INDEX).is_file()
        if not self.is_built:
            self._pages[INDEX] = _page(files(__package__) / "unbuilt.html", is_hashed=False)
            return
        for one in static.iterdir():
            if one.is_file() and _kind(one) in MEDIA:
                self._pages[one.name] = _page(one, is_hashed=False)
        for one in (static / ASSETS).iterdir():
            if one.is_file() and _kind(one) in MEDIA:
                self._pages[f"{ASSETS}/{one.name}"] = _page(one, is_hashed=True)

    def find(self, name: str) -> Page | None:
        return self._pages.get(name)


def _kind(file: Traversable) -> str:
    return file.name.rpartition(".")[2]


def _page(file: Traversable, *, is_hashed: bool) -> Page:
    body, kind = file.read_bytes(), _kind(file)
    gzipped = None if kind in PACKED else gzip.compress(body, 6, mtime=0)
    if gzipped is not None and len(gzipped) >= len(body):
        gzipped = None
    tag = b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'
    return Page(body, gzipped, MEDIA[kind], tag, is_hashed)
