"""Where what runs beside the node may connect to: lists of hosts, and what a name may turn out to be.

Two questions, asked at two moments. Before a name is resolved: is this host listed? And on each address that is really
connected to: may it be reached at all (see `address`)? Texts such as `2130706433`, `0x7f.1` or `0177.0.0.1` are names
here; the address that they become is judged like any other. A list that holds an address means it; a list that holds a
name does not mean the private addresses which that name may lead to.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from msgspec import Struct

from pilothouse.domain.address import LOOPBACK, Networks, carried_v4, refusal

Mode = Literal["open", "public", "listed"]
NOWHERE: Networks = tuple(
    ip_network(net)
    for net in (
        "0.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "192.0.0.0/24", "100.100.100.200/32", "224.0.0.0/4",
        "240.0.0.0/4", "::/128", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fe80::/10", "fec0::/10", "ff00::/8",
        "fd00:ec2::254/128", "fd20:ce::254/128",
    )
)  # fmt: skip
"""Where nobody's agent has to go even when everything is open: the metadata of clouds, tunnels, multicast, nothing."""


class HostRule(Struct, frozen=True):
    """One entry of a list: a host name (`*.example.com`: those below it), or a network. `port` 0: any."""

    name: str = ""
    network: str = ""
    port: int = 0


class EgressPolicy(Struct, frozen=True):
    """`open`: everywhere but NOWHERE. `public`: to public addresses, and to what is listed. `listed`: only to what is
    listed. `networks`: private networks that names may lead to."""

    mode: Mode = "open"
    hosts: tuple[HostRule, ...] = ()
    networks: tuple[str, ...] = ()

    def allows_host(self, host: str, port: int) -> bool:
        """Whether a connection to this name, or to this address, may be tried."""
        if parse(host) is not None and not self.allows_address(host, port, host):
            return False
        return self.mode != "listed" or is_listed(self.hosts, host, port)

    def allows_address(self, address: str, port: int, name: str) -> bool:
        """Whether what `name` resolved to may be connected to."""
        found = parse(address)
        if found is None:
            return False
        if refusal(str(found)) is None and not _is_nowhere(found):
            return True
        if is_listed(self.hosts, address, port) or any(_covers(net, found) for net in self.networks):
            return True
        if self.mode == "open":
            return not _is_nowhere(found)
        is_loopback = any(_holds(net, found) for net in LOOPBACK)
        return is_loopback and fold(name) == "localhost" and is_listed(self.hosts, "localhost", port)


def is_listed(rules: tuple[HostRule, ...], host: str, port: int) -> bool:
    """Whether a list names this host, or the address it is written as."""
    name, address = fold(host), parse(host)
    for rule in rules:
        if rule.port and rule.port != port:
            continue
        if rule.network:
            if address is not None and _covers(rule.network, address):
                return True
        elif rule.name == name or (rule.name.startswith("*.") and name.endswith(rule.name[1:])):
            return True
    return False


def read_rule(text: str) -> HostRule:
    """`api.example.com`, `*.example.com:443`, `127.0.0.1:8000`, `10.1.0.0/16`, `[::1]:80`, `localhost`. Raises
    `ValueError` with what is wrong."""
    host, port = text.strip(), ""
    if "://" in host or not host:
        raise ValueError(f"{text!r} is no host; leave out the scheme and the path, as in api.example.com")
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if port and (not port.isdecimal() or not 0 < int(port) < 65_536):
        raise ValueError(f"{text!r} has no port from 1 to 65535 after the colon")
    try:
        return HostRule(network=str(ip_network(host)), port=int(port or 0))
    except ValueError:
        pass
    name = fold(host)
    if not all(part.replace("-", "a").replace("_", "a").isalnum() for part in name.removeprefix("*.").split(".")):
        raise ValueError(f"{text!r} is no host, no *.domain and no network")
    return HostRule(name=name, port=int(port or 0))


def fold(host: str) -> str:
    """A host name as lists hold it: lower case, without the final dot, IDNA as ASCII."""
    host = host.rstrip(".").lower()
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address, without brackets; None: it is none, or bound to a zone that is not ours to know."""
    try:
        return ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _is_nowhere(address: IPv4Address | IPv6Address) -> bool:
    carried = carried_v4(address)
    return any(_holds(net, address) or (carried is not None and _holds(net, carried)) for net in NOWHERE)


def _covers(network: str, address: IPv4Address | IPv6Address) -> bool:
    found = ip_network(network)
    carried = carried_v4(address)
    return _holds(found, address) or (carried is not None and _holds(found, carried))


def _holds(network: object, address: IPv4Address | IPv6Address) -> bool:
    is_six = isinstance(network, IPv6Network)
    return is_six == isinstance(address, IPv6Address) and address in network  # type: ignore[operator]
