"""One warm process of a local pool: `python -m pilothouse.sdk.pools.member JSON`. It does one step after the other.

It ends with the host that started it. Its link is a socket that it inherits; what user code prints goes where the
host's output goes.
"""

import pickle
import resource
import socket
import sys

import msgspec

from pilothouse.sdk.parent import bind_to_parent
from pilothouse.sdk.pools.work import do_work
from pilothouse.wire.host import MemberConfig

HEAD = 8
"""Bytes of the length before each message."""


def main(argument: str) -> None:
    config = msgspec.json.decode(argument, type=MemberConfig)
    bind_to_parent(config.parent)
    if config.memory:
        resource.setrlimit(resource.RLIMIT_DATA, (config.memory, config.memory))
    sys.path.insert(0, config.project)
    link = socket.socket(fileno=config.socket)
    link.set_inheritable(False)
    _send(link, b"")
    while (packed := _receive(link)) is not None:
        _send(link, pickle.dumps(do_work(packed)))


def _send(link: socket.socket, content: bytes) -> None:
    link.sendall(len(content).to_bytes(HEAD) + content)


def _receive(link: socket.socket) -> bytes | None:
    """None: the host has closed the link."""
    head = _exactly(link, HEAD)
    return None if head is None else _exactly(link, int.from_bytes(head))


def _exactly(link: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        part = link.recv(min(count - len(found), 1 << 20))
        if not part:
            return None
        found += part
    return bytes(found)


if __name__ == "__main__":
    main(sys.argv[1])
