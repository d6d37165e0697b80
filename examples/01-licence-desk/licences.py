"""The documents of the desk: METADATA headers and licence files, of installed distributions or of a folder.

What is read is bounded in number, size and depth, never leaves the folder that was named, and is always text: files
that are not UTF-8 are read as Latin-1, and what is no text at all is said to be none. What the words mean is left to
the model.
"""

import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

FILE_LIMIT = 512 * 1024
HEADERS_LIMIT = 64 * 1024
DOCUMENT_LIMIT = 1024 * 1024
DOCUMENTS_LIMIT = 5_000
DEPTH_LIMIT = 6
_LICENCE_FILE = re.compile(r"(?i)^(un)?(licen[cs]es?|copying|copyright)([._-].*)?$")
_METADATA_FILE = re.compile(r"(?i)^(METADATA|PKG-INFO)$")
_UNSEEN = ("__pycache__", "node_modules")


class Document(Struct):
    """What was found about one distribution, or one file of a folder."""

    name: str
    version: str
    text: str


class DocumentMissing(LookupError):
    """There is no such distribution or folder."""


def list_documents(folder: str | None = None, limit: int | None = None, only: list[str] | None = None) -> list[str]:
    """The names of what there is to read, in alphabetical order."""
    names = sorted(set(_names(folder)), key=str.lower)[:DOCUMENTS_LIMIT]
    if only is not None:
        wanted = {canonical(name) for name in only}
        names = [name for name in names if canonical(name) in wanted]
    return names if limit is None else names[: max(0, limit)]


def read_document(name: str, folder: str | None = None) -> Document:
    """The headers and licence texts of one distribution, or the text of one file. Raises DocumentMissing."""
    found = _distribution(name, folder)
    if found is not None:
        return _read_distribution(name, found)
    if folder is not None:
        root = _root(folder)
        for path in _licence_files(root):
            if str(path.relative_to(root)) == name:
                return Document(name, "", _text_of(path, FILE_LIMIT))
    raise DocumentMissing(f"There is no {name} in {folder or 'this Python environment'}.")


def canonical(name: str) -> str:
    """Distributions are the same whatever the case and the signs between the words of their name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(folder: str | None) -> Iterator[str]:
    if folder is None:
        yield from _distribution_names(importlib.metadata.distributions())
        return
    root = _root(folder)
    yield from _distribution_names(importlib.metadata.distributions(path=[str(root)]))
    for path in _licence_files(root):
        yield str(path.relative_to(root))


def _distribution_names(distributions: Iterable[importlib.metadata.Distribution]) -> Iterator[str]:
    for each in distributions:
        # A half-removed distribution has a folder and no METADATA.
        name = _header("Name", _headers(each))
        if name:
            yield name


def _headers(found: importlib.metadata.Distribution) -> str:
    """The headers of a distribution; none when its METADATA is missing or no UTF-8."""
    try:
        said = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    except UnicodeDecodeError:
        return ""
    return said.partition("\n\n")[0][:HEADERS_LIMIT]


def _header(name: str, headers: str) -> str:
    match = re.search(rf"(?mi)^{name}:[ \t]*(\S+)[ \t]*$", headers)
    return "" if match is None else match[1]


def _root(folder: str) -> Path:
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DocumentMissing(f"There is no folder {folder}.")
    return root.resolve()


def _licence_files(root: Path) -> Iterator[Path]:
    """The licence and metadata files below a folder; those of distributions in it are read with them."""
    count = 0
    for place, folders, files in os.walk(root, followlinks=False):
        here = Path(place)
        depth = len(here.relative_to(root).parts)
        folders[:] = sorted(
            each
            for each in folders
            if depth < DEPTH_LIMIT
            and not each.startswith(".")
            and each not in _UNSEEN
            and not (depth == 0 and _is_distribution(here / each))
        )
        for file in sorted(files):
            path = here / file
            if (_LICENCE_FILE.match(file) or _METADATA_FILE.match(file)) and path.is_file() and not path.is_symlink():
                count += 1
                if count > DOCUMENTS_LIMIT:
                    return
                yield path


def _is_distribution(folder: Path) -> bool:
    """Whether a folder is read as a distribution; one with broken headers is read file by file."""
    if not folder.name.endswith((".dist-info", ".egg-info")):
        return False
    return bool(_header("Name", _headers(importlib.metadata.PathDistribution(folder))))


def _distribution(name: str, folder: str | None) -> importlib.metadata.Distribution | None:
    if folder is None:
        found = importlib.metadata.distributions(name=name)
    else:
        found = importlib.metadata.distributions(name=name, path=[str(_root(folder))])
    return next(iter(found), None)


def _read_distribution(name: str, found: importlib.metadata.Distribution) -> Document:
    headers = _headers(found)
    parts = [headers]
    size = len(parts[0])
    for path in sorted(own_licence_files(found)):
        text = _text_of(path, min(FILE_LIMIT, DOCUMENT_LIMIT - size))
        size += len(text)
        parts.append(f"--- {path.name} ---\n{text}")
        if size >= DOCUMENT_LIMIT:
            break
    return Document(name, _header("Version", headers), "\n\n".join(parts))


def own_licence_files(found: importlib.metadata.Distribution) -> list[Path]:
    """The licence files of the distribution itself; those deeper down belong to what it has vendored."""
    paths = []
    for file in found.files or []:
        inside = file.parts[1:-1]
        if file.parts[0].endswith((".dist-info", ".egg-info")) and inside in ((), ("licenses",)):
            path = Path(str(file.locate()))
            if _LICENCE_FILE.match(file.name) and path.is_file() and not path.is_symlink():
                paths.append(path)
    return paths


def _text_of(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        raw = file.read(max(0, limit) + 1)
    return as_text(raw[:limit], is_cut=len(raw) > limit)


def as_text(raw: bytes, *, is_cut: bool = False) -> str:
    """Bytes as text: UTF-8, else Latin-1; nothing when there are zero bytes in it. A cut may go through a character."""
    if b"\0" in raw:
        return ""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if is_cut and error.start >= len(raw) - 3:
            return raw[: error.start].decode("utf-8-sig")
        return raw.decode("latin-1")
