"""The border below every library: names when they are resolved, addresses when they are connected to.

What a client library does above does not matter here: `socket` and the event loop are where connections are made. A
name that is not allowed is not resolved; an address is judged at the moment in which it is connected to, so nothing
can answer otherwise in between. Which names led to an address is remembered for a while, because `connect` is not
told. Only networks are looked at: a socket of the file system, or a pair, leads nowhere outside. uvloop resolves and
connects in C, so its loops get the same two looks in front of their own methods.
"""

import asyncio
import socket
import threading
from collections import OrderedDict
from typing import Any

from pilothouse.domain.egress import fold, is_listed, parse
from pilothouse.errors import EgressDenied
from pilothouse.sdk.egress.border import Border, border_here, denied

REMEMBERED = 4096
INTERNET = (socket.AF_INET, socket.AF_INET6)
ANYWHERE = ("", "0.0.0.0", "::", None)
PATCHED = "pilothouse_border"


class DeniedConnection(EgressDenied, PermissionError):
    """{who} may not connect to {host} (port {port})."""


class Names:
    """Which names led to an address. Used by all threads."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def learn(self, name: str, address: str) -> None:
        with self._lock:
            known = self._names.pop(address, ())
            self._names[address] = (name, *[one for one in known if one != name][:7])
            if len(self._names) > REMEMBERED:
                self._names.popitem(last=False)

    def of(self, address: str) -> tuple[str, ...]:
        return self._names.get(address, ())


NAMES = Names()


def _policy(border: Border, attempt: Any) -> Any:
    return border.outside if attempt is None else border.policy_of(attempt.agent)


def check_name(host: Any, port: Any) -> None:
    """Raises `DeniedConnection` for a name that may not even be resolved."""
    border, attempt = border_here()
    if border is None or not border.is_closed or host in ANYWHERE:
        return
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    number = port if isinstance(port, int) else int(port) if str(port).isdecimal() else 0
    policy = _policy(border, attempt)
    if parse(name) is None and policy.mode == "listed" and not _is_listed_anyhow(policy, name, number):
        raise _refusal(attempt, name, number)


def _is_listed_anyhow(policy: Any, name: str, port: int) -> bool:
    """Who resolves a name may not say for which port."""
    if port:
        return is_listed(policy.hosts, name, port)
    return any(is_listed((rule,), name, rule.port) for rule in policy.hosts)


def learn_addresses(host: Any, found: Any) -> None:
    if host in ANYWHERE or not isinstance(host, str | bytes):
        return
    name = fold(host.decode("ascii", "replace") if isinstance(host, bytes) else host)
    for entry in found:
        address = entry[4][0]
        if isinstance(address, str) and address != name:
            NAMES.learn(name, address)


def check_address(address: Any, port: Any) -> None:
    """Raises `DeniedConnection` for an address that may not be connected to."""
    border, attempt = border_here()
    if border is None:
        return
    policy, text = _policy(border, attempt), str(address)
    if parse(text) is None:
        check_name(text, port)  # the system resolves it inside of connect
        return
    names = [name for name in NAMES.of(text) if policy.allows_host(name, port)]
    if any(policy.allows_address(text, port, name) for name in names) or policy.allows_host(text, port):
        return
    raise _refusal(attempt, names[0] if names else text, port)


def _refusal(attempt: Any, host: str, port: int) -> DeniedConnection:
    told = denied(None if attempt is None else attempt.agent, host, port)
    return DeniedConnection(told.message, hint=told.hint)


def guard_sockets() -> None:
    """Puts the looks into `socket`, for the life of the process. A second call does nothing."""
    if hasattr(socket.socket, PATCHED):
        return
    resolve, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        check_name(host, port)
        found = resolve(host, port, *args, **options)
        if border_here()[0] is not None:
            learn_addresses(host, found)
        return found

    def connected(self: socket.socket, address: Any) -> None:
        if self.family in INTERNET and self.type & socket.SOCK_STREAM:
            check_address(address[0], address[1])
        connect(self, address)

    def connected_ex(self: socket.socket, address: Any) -> int:
        if self.family in INTERNET and self.type & socket.SOCK_STREAM:
            check_address(address[0], address[1])
        return connect_ex(self, address)

    socket.getaddrinfo = getaddrinfo
    socket.socket.connect = connected  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = connected_ex  # type: ignore[method-assign, assignment]
    setattr(socket.socket, PATCHED, True)


def guard_loop(loop: asyncio.AbstractEventLoop) -> None:
    """The same for a loop: its resolver runs in a thread that knows no attempt, and uvloop's not in Python at all."""
    if hasattr(loop, PATCHED) or not hasattr(loop, "__dict__"):
        return
    resolve, create = loop.getaddrinfo, loop.create_connection

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        check_name(host, port)
        found = await resolve(host, port, **options)
        if border_here()[0] is not None:
            learn_addresses(host, found)
        return found

    async def create_connection(factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        if host is None or border_here()[0] is None:
            return await create(factory, host, port, **options)
        if options.get("ssl") and options.get("server_hostname") is None:
            options["server_hostname"] = host
        if parse(host) is not None:
            check_address(host, port)
            return await create(factory, host, port, **options)
        found = await getaddrinfo(host, port, type=socket.SOCK_STREAM, family=options.pop("family", 0))
        options.pop("happy_eyeballs_delay", None)
        options.pop("interleave", None)
        failures: list[Exception] = []
        for entry in found:
            try:
                check_address(entry[4][0], port)
                return await create(factory, entry[4][0], port, **options)
            except OSError as error:
                failures.append(error)
        raise failures[0] if failures else OSError(f"getaddrinfo({host!r}) gave nothing")

    loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
    loop.create_connection = create_connection  # type: ignore[method-assign, assignment]
    setattr(loop, PATCHED, True)
