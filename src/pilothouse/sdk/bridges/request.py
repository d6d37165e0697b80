"""What a model is asked, without what the rows before it hold already.

A framework sends the whole conversation with each model call. A journal that kept all of it each time would grow with
the square of a conversation; so a row shows what is new since the call before it of the same agent in the same place,
and how much was known. The order of such calls is the same in every attempt, and so are the keys that are made of it.
"""

from typing import Any


class Requests:
    """The model calls of one attempt."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Any, list[Any]]] = {}

    def new(self, agent: str, place: str, instructions: Any, items: list[Any]) -> dict[str, Any]:
        """The arguments of the step of a model call. Items are plain JSON."""
        spot = f"{agent}\n{place}"
        told, before = self._seen.get(spot, (None, []))
        known = len(before) if items[: len(before)] == before else 0
        self._seen[spot] = (instructions, items)
        request: dict[str, Any] = {"agent": agent, "input": items[known:], "known": known}
        if instructions != told:
            request["instructions"] = instructions
        return request
