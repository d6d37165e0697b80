"""Which addresses a node may be sent to by what others wrote: a webhook of a caller, a URL in a tool.

A name is resolved once, each address it leads to is judged here, and the connection goes to the address that was
judged: a second look-up could answer otherwise. The lists are those of the IANA special-purpose registries (RFC 6890
and its updates), written out because the standard library's `is_global` says yes to wrapped and to multicast addresses
(I15). An IPv6 address that carries an IPv4 one is judged by both. What is not known to be public is refused.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from msgspec import Struct

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

LOOPBACK: Networks = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

_CLOSED_V4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared by a carrier",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "the metadata of a cloud",
    "169.254.0.0/16": "link-local, where clouds keep their metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved for protocols",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "a relay of 6to4",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_CLOSED_V6 = {
    "::1/128": "loopback",
    "::/128": "unspecified",
    "64:ff9b:1::/48": "a private NAT64",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
    "2001::/23": "reserved for protocols, Teredo among them",
    "2001:db8::/32": "for documentation",
    "2002::/16": "6to4",
    "3fff::/20": "for documentation",
}
_CLOSED = {ip_network(net): why for net, why in (*_CLOSED_V4.items(), *_CLOSED_V6.items())}
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that IANA has given out for the public."""
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")

URL_LIMIT = 2048
_CONTROLS = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}\Z")


class Place(Struct, frozen=True):
    """Where an HTTP URL leads. `path` is what the request line asks for: path and query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """For the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def read_url(url: str) -> Place:
    """The place of an absolute http or https URL. Raises ValueError with what is wrong with it, without repeating it:
    it may hold a secret."""
    if len(url) > URL_LIMIT:
        raise ValueError(f"a URL has at most {URL_LIMIT} characters")
    if _CONTROLS.search(url) or not url.isascii():
        raise ValueError("a URL has no spaces, control characters or backslashes, and is written in ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("that is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("a URL begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold a name or password")
    if not parts.hostname or not _HOST.match(parts.hostname):
        raise ValueError("a URL names a host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    return Place(parts.scheme, parts.hostname, default if port is None else port, path)


def read_networks(texts: tuple[str, ...]) -> Networks:
    """Networks or single addresses that are allowed although they are not public. Raises ValueError."""
    found = []
    for text in texts:
        try:
            found.append(ip_network(text.strip(), strict=False))
        except ValueError:
            raise ValueError(f"{text!r} is no network; write 10.1.0.0/16 or 10.1.2.3") from None
    return tuple(found)


def refusal(address: str, allowed: Networks = ()) -> str | None:
    """Why nobody may be sent to this address; None: it is public, or allowed. An address that cannot be read, and one
    with a zone, is refused."""
    try:
        found = ip_address(address)
    except ValueError:
        return "no address"
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        return "bound to one link"
    carried = carried_v4(found)
    if _is_in(found, allowed) or (carried is not None and _is_in(carried, allowed)):
        return None
    if carried is not None:
        return _closed(carried)
    return _closed(found)


def _closed(address: Address) -> str | None:
    for network, why in _CLOSED.items():
        if address.version == network.version and address in network:
            return why
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return "not given out for public use"
    return None


def carried_v4(address: Address) -> IPv4Address | None:
    """The IPv4 address to which packets for this IPv6 one go in the end: mapped, compatible, or behind NAT64. Tunnels
    (6to4, Teredo) are closed as a whole."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _is_in(address: Address, networks: Networks) -> bool:
    return any(address.version == network.version and address in network for network in networks)
