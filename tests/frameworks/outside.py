"""The outside world of these agents: a receiver that counts what really happened.

Tools are the framework's own functions and know nothing of Pilothouse, but for the key that the outside may see.
"""

import json
import os
import urllib.request

from pilothouse import idempotency_key


def tell(step: str) -> int:
    """One effect in the outside world, from inside a tool: how often its key was seen."""
    key = idempotency_key()
    return tell_of(key.partition(":")[0], step, key)


def tell_of(run: str, step: str, key: str = "none") -> int:
    """The same from code that is in no step."""
    body = {"run": run, "step": step, "attempt": 0, "host": os.getpid()}
    request = urllib.request.Request(
        os.environ["RECEIVER_URL"],
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Idempotency-Key": key},
    )
    with urllib.request.urlopen(request, timeout=400) as answer:
        times: int = json.load(answer)["times"]
        return times
