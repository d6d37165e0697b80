"""What the desks of the other examples look up, by rules alone: the same documents, without asking a model.

They are built with agent frameworks and share this folder's reading of licences; each has its tools in its own words.
"""

from typing import Any

from licences import DocumentMissing, list_documents, read_document
from reading import read
from spdx import kind_of, obligations_of


def distributions() -> list[str]:
    """The names of what is installed beside this Python."""
    return list_documents()


def record(name: str) -> dict[str, Any]:
    """The licence of one distribution, with the lines that show it."""
    try:
        document = read_document(name)
    except DocumentMissing as error:
        return {"error": str(error)}
    found = read(document.text)
    return {
        "name": document.name,
        "version": document.version,
        "spdx": found.spdx,
        "kind": kind_of(found.spdx),
        "holders": found.holders,
        "obligations": obligations_of(found.spdx),
        "evidence": [{"line": line, "text": text} for line, text in found.evidence],
    }


def records(kind: str) -> dict[str, Any]:
    """The distributions of one kind of licence; all for an empty kind."""
    found = [record(name) for name in distributions()]
    shown = [{key: one[key] for key in ("name", "version", "spdx")} for one in found if kind in ("", one.get("kind"))]
    return {"kind": kind, "total": len(found), "records": shown}
