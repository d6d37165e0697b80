"""When a failed model call is worth another try, and after how long.

`Retry-After` is honoured in seconds and as a date (RFC 9110, 10.2.3), `retry-after-ms` and `x-should-retry` as model
providers send them. A wait that would end after the run's own deadline, or that is longer than the settings allow, is
not waited for: the error goes to the client at once, which may know better.
"""

import random
import time

from msgspec import Struct

from pilothouse.sdk.egress.exchange import Answer, Headers

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
FIRST = 0.5
AT_MOST = 8.0
DRAW = random.Random()


class Patience(Struct, frozen=True):
    """`tries` after the first one; `wait_at_most`: the longest wait a provider may ask for, in seconds."""

    tries: int = 2
    wait_at_most: float = 60.0

    def may_help(self, answer: Answer) -> bool:
        """Whether the same request could be answered otherwise. An answer below 400 is here because it is cut or
        garbled."""
        said = next((value for name, value in answer.headers if name.lower() == "x-should-retry"), "")
        if said == "false":
            return False
        return said == "true" or answer.status < 400 or answer.status in AGAIN

    def wait_in(self, headers: Headers) -> float | None:
        """Seconds that the provider asks for."""
        found = {name.lower(): value.strip() for name, value in headers}
        try:
            if "retry-after-ms" in found:
                return max(0.0, float(found["retry-after-ms"]) / 1000)
            said = found.get("retry-after", "")
            if not said:
                return None
            if said.replace(".", "", 1).isdecimal():
                return float(said)
            from email.utils import parsedate_to_datetime  # rarely said, and half a megabyte in each host

            return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None

    def delay(self, tries: int, wait: float | None, left: float | None) -> float | None:
        """Seconds until try `tries` + 1; None: there is none. `left`: seconds until the run's deadline."""
        if tries > self.tries or (wait is not None and wait > self.wait_at_most):
            return None
        delay = wait if wait is not None else min(AT_MOST, FIRST * 2 ** (tries - 1)) * (0.75 + DRAW.random() / 2)
        return None if left is not None and delay >= left else delay
