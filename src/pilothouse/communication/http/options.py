"""The limits of the HTTP room. The composition root fills them from the settings; spans are seconds, sizes bytes.

Whatever a client can make large, slow or many has its bound here, so that a node under attack or overload answers with
413, 408, 429 or 503 and keeps its memory.
"""

from dataclasses import dataclass

from pilothouse.domain.address import Networks

STREAMS = 2048


@dataclass(frozen=True, slots=True)
class HttpOptions:
    body_bytes: int = 4 * 1024 * 1024
    """The body of one request."""
    bodies_bytes: int = 256 * 1024 * 1024
    """Bodies over 64 KiB of all requests at once."""
    depth: int = 64
    """How deep arrays and objects may nest in a body."""
    requests: int = 4096
    """Requests at once, waiting ones and streams included; health is excepted."""
    tenant_share: float = 1.0
    """Of the requests at once, so many may be taken by whoever comes first, where there is more than one tenant."""
    streams: int = STREAMS
    """Event streams at once."""
    body_within: float = 30.0
    """The next part of a body must come so soon."""
    write_within: float = 60.0
    """A reader that takes nothing for so long loses its stream."""
    heartbeat_every: float = 15.0
    """A comment goes over a stream that was silent for so long."""
    end_within: float = 3600.0
    """How long a request that waits for the end of its run is held; then it is answered 202."""
    reconnect_after: float = 1.0
    """When a stream that a drain ended should come again."""
    probe_within: float = 2.0
    """How long `/readyz` gives the records to answer."""
    allowed: Networks = ()
    """Networks that webhooks may lead to although they are not public."""
    hosts: frozenset[str] = frozenset()
    """Names beside loopback that a Host or Origin header may have: those of a proxy in front that authenticates."""
