"""One HTTP POST to an address that was judged: what SSRF needs and no general client gives.

The name is resolved once, every address it leads to is judged, and the connection goes to one that passed: TLS still
checks the certificate against the name. Redirects are not followed, proxies of the environment are not asked, and of an
answer nothing is read but its head and a little: a receiver that sends a gigabyte, or one byte a minute, costs no more
than the time of one try.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping

import httptools

from pilothouse.domain.address import Networks, Place, refusal

ANSWER_LIMIT = 16 * 1024
"""Bytes of an answer that are read at most, head and all."""
CONNECT_WITHIN = 5.0

Resolve = Callable[[str, int], Awaitable[list[str]]]


class Unreachable(Exception):
    """The text says why, for people; it names no address that a name led to."""


class Reply:
    """The head of an answer."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.is_whole = True


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name, in the order of preference of the system."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=1)  # SOCK_STREAM
    except OSError:
        raise Unreachable(f"the name {host} has no address") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def find_open(place: Place, allowed: Networks, look_up: Resolve) -> list[str]:
    """The addresses of the place that may be connected to. Raises `Unreachable` when there is none."""
    addresses = await look_up(place.host, place.port)
    reasons = {address: refusal(address, allowed) for address in addresses}
    found = [address for address, reason in reasons.items() if reason is None]
    if not found:
        why = next((reason for reason in reasons.values() if reason), "no address")
        raise Unreachable(f"{place.host} leads to an address that is closed ({why})")
    return found


class Poster:
    """`post` may be called at any rate; each call is a connection of its own."""

    def __init__(self, allowed: Networks, within: float, look_up: Resolve = resolve) -> None:
        self._allowed, self._within, self._look_up = allowed, within, look_up
        self._tls: ssl.SSLContext | None = None

    async def post(self, place: Place, body: bytes, headers: Mapping[str, str]) -> Reply:
        """The head of the answer. Raises `Unreachable`."""
        try:
            async with asyncio.timeout(self._within):
                addresses = await find_open(place, self._allowed, self._look_up)
                reader, writer = await self._connect(place, addresses)
                try:
                    return await self._exchange(place, body, headers, reader, writer)
                finally:
                    writer.transport.abort()
        except TimeoutError:
            raise Unreachable(f"no answer within {self._within:g} s") from None
        except ssl.SSLError as error:
            raise Unreachable(f"TLS failed ({error.reason or 'no reason'})") from None
        except (OSError, httptools.HttpParserError) as error:
            raise Unreachable(f"the connection failed ({type(error).__name__})") from None

    async def _connect(self, place: Place, addresses: list[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failed: OSError = OSError("no address")
        for address in addresses[:4]:
            try:
                async with asyncio.timeout(CONNECT_WITHIN):
                    return await self._open(place, address)
            except OSError as error:  # a timeout is one
                failed = error
        if isinstance(failed, TimeoutError):
            raise Unreachable(f"no connection within {CONNECT_WITHIN:g} s")
        raise failed

    async def _open(self, place: Place, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if place.scheme == "http":
            return await asyncio.open_connection(address, place.port, limit=ANSWER_LIMIT)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return await asyncio.open_connection(
            address, place.port, limit=ANSWER_LIMIT, ssl=self._tls, server_hostname=place.host
        )

    async def _exchange(
        self,
        place: Place,
        body: bytes,
        headers: Mapping[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Reply:
        head = {"host": place.authority, "content-length": str(len(body)), "connection": "close", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"POST {place.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
        await writer.drain()
        reply, size = Reply(), 0
        parser = httptools.HttpResponseParser(reply)
        while not reply.is_whole:
            found = await reader.read(ANSWER_LIMIT)
            if not found:
                raise Unreachable("the receiver closed the connection without an answer")
            size += len(found)
            parser.feed_data(found)
            if size > ANSWER_LIMIT and not reply.is_whole:
                raise Unreachable(f"the head of the answer is larger than {ANSWER_LIMIT} bytes")
        reply.status = parser.get_status_code()
        return reply
