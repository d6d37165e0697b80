"""The reference for people at `/docs`, and the OpenAPI document behind it.

The reference is our own HTML, CSS and script over `/openapi.json`. Nothing is loaded from anywhere else, so it works
without internet, and the content security policy says so to the browser: no inline script, no foreign address, no
frame.
"""

import asyncio
from importlib.resources import files

from pilothouse.communication.http.call import Call
from pilothouse.communication.http.problem import RouteNotFound

HTML = b"text/html; charset=utf-8"
PARTS = {"docs.css": b"text/css; charset=utf-8", "docs.js": b"text/javascript; charset=utf-8"}
POLICY = [
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
            b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]

_page = files(__package__) / "page"
_texts = {name: (_page / name).read_bytes() for name in ("docs.html", *PARTS)}


async def get_document(call: Call) -> None:
    """Every route and schema, as OpenAPI 3.1."""
    await call.answer(200, await asyncio.to_thread(call.front.document))


async def get_docs_page(call: Call) -> None:
    await call.answer(200, _texts["docs.html"], POLICY, HTML)


async def get_docs_part(call: Call, name: str) -> None:
    media = PARTS.get(name)
    if media is None:
        raise RouteNotFound(path=f"/docs/{name[:80]}")
    await call.answer(200, _texts[name], POLICY, media)
