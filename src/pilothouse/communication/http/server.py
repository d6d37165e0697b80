"""The HTTP server: uvicorn in the node's own loop, on a socket that is bound before anything else starts.

Binding first means that a port in use is told at once, and that nobody is refused between the start of the node and
that of the server. The node decides when the server stops; signals are its business.
"""

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Generator

import uvicorn

from pilothouse.communication.http.app import HttpApp
from pilothouse.errors import AddressInUse, AddressRefused

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `AddressRefused` for anything but loopback, `AddressInUse`."""
    if not is_loopback(host):
        raise AddressRefused(host=host)
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
    """`serve` runs until `stop`; stopping lets open requests end within the grace."""

    def __init__(self, app: HttpApp, listener: socket.socket, grace: float) -> None:
        self._app = app
        self._listener = listener
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(grace)),
            proxy_headers=False,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._server.serve([self._listener]), name="http")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                return
            await asyncio.sleep(0.005)

    def drain(self) -> None:
        """Tells the readers of streams to come again, and answers those who would ask again anyway."""
        self._app.drain()

    async def stop(self) -> None:
        self._app.release()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
            self._task = None


class _Server(uvicorn.Server):
    """Without uvicorn's own signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
