"""What the sender is given by the composition root: who the receivers are, how to reach them, and the limits.

Secrets are keys here, checked when the settings were read: a sender never finds out late that it cannot sign.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pilothouse.domain.address import Networks

AGENT = "Pilothouse"


@dataclass(slots=True, frozen=True)
class ReceiverOptions:
    """`keys`: the secrets that count now, the newest first. `format`: how the body is told, see `shape`."""

    url: str
    keys: tuple[bytes, ...] = ()
    format: str = "standard"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class DeliveryOptions:
    """Spans in seconds. `keys` sign the webhooks of single runs. `allowed`: networks that are open although they are
    not public."""

    receivers: Mapping[str, ReceiverOptions] = field(default_factory=dict)
    keys: tuple[bytes, ...] = ()
    allowed: Networks = ()
    within: float = 15.0
    """One try, from the look-up of the name to the status."""
    at_once: int = 64
    at_once_each: int = 8
    """Tries at once of one receiver: one that is slow must not take all hands."""
