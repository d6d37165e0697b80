"""The routes of the console's files: its page at `/`, and what that page loads from `/assets`.

The page names its files and the API relative to itself, so it works behind a proxy that puts a path in front. The
content security policy allows what comes from this node and nothing else: no inline script or style, no frame, no form
that is sent by the browser, and (trusted types) no text that is made into HTML by a script. A file whose name holds a
digest is kept by browsers for good; the page itself is asked for each time and answered 304 while it is the same.
"""

from pilothouse.communication.http.call import Call
from pilothouse.communication.http.header import read_tags
from pilothouse.communication.http.problem import RouteNotFound

POLICY = [
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
            b"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            b"require-trusted-types-for 'script'; trusted-types 'none'"
        ),
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
FOR_GOOD = b"public, max-age=31536000, immutable"
ASK_AGAIN = b"no-cache"
INDEX = "index.html"


async def get_front_page(call: Call) -> None:
    await _send_page(call, INDEX)


async def get_asset(call: Call, name: str) -> None:
    await _send_page(call, f"assets/{name}")


async def get_licenses(call: Call) -> None:
    await _send_page(call, "licenses.txt")


async def _send_page(call: Call, name: str) -> None:
    pages = call.front.pages
    page = None if pages is None else pages.find(name)
    if page is None:
        raise RouteNotFound(path=f"/{name[:80]}")
    cache = FOR_GOOD if page.is_hashed else ASK_AGAIN
    head = [(b"etag", page.tag), (b"vary", b"accept-encoding"), *POLICY]
    given = call.headers.get(b"if-none-match")
    if given is not None and page.tag.strip(b'"').decode() in (read_tags(given) or ()):
        call.reply_page(304, b"", head, None, cache)
    elif page.gzipped is not None and _takes_gzip(call):
        call.reply_page(200, page.gzipped, [(b"content-encoding", b"gzip"), *head], page.media, cache)
    else:
        call.reply_page(200, page.body, head, page.media, cache)


def _takes_gzip(call: Call) -> bool:
    given = call.headers.get(b"accept-encoding", b"").lower()
    return any(
        one.partition(b";")[0].strip() == b"gzip" and b"q=0" not in one.replace(b" ", b"").split(b";")
        for one in given.split(b",")
    )
