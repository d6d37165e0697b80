"""The HTTP server, in the node's own loop, on a socket that is bound before anything else starts.

Binding first means that a port in use is told at once, and that nobody is refused between the start of the node and
that of the server. The node decides when the server stops; signals are its business.
"""

import asyncio
import errno
import ipaddress
import socket

from pilothouse.communication.http.app import HttpApp
from pilothouse.communication.http.connection import Connections
from pilothouse.errors import AddressInUse, AddressRefused

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `AddressInUse` and `AddressRefused`. Whether an address that other machines reach may
    be listened on is for the caller to know: only where keys are asked for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise AddressInUse(host=host, port=port) from None
        raise AddressRefused(
            f"Pilothouse cannot listen on {host}: {error.strerror}.", hint="Use an address of this machine."
        ) from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HttpServer:
    """`start`, then `stop`: open requests may end within the grace, in seconds; what is left then is cut off."""

    def __init__(self, app: HttpApp, listener: socket.socket, grace: float) -> None:
        self._app = app
        self._listener = listener
        self._grace = grace
        self._connections: Connections | None = None
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._connections = Connections(self._app.serve)
        self._server = await loop.create_server(self._connections.make, sock=self._listener, backlog=BACKLOG)

    def drain(self) -> None:
        """Tells the readers of streams to come again, and answers those who would ask again anyway."""
        self._app.drain()

    async def stop(self) -> None:
        """A second call does nothing."""
        self._app.release()
        server, connections = self._server, self._connections
        self._server = None
        if server is None or connections is None:
            return
        server.close()
        await connections.close(max(1.0, self._grace))
