"""The session: the memory between runs of one agent for one caller's key, and who may take the next turn.

One turn at a time. The order of turns is the order in which the records took them in. `decide_turn` says what a new
turn does when another is in progress; the records enforce that only one is ever running or waiting.
What an agent framework keeps of a session are the trails of its turns: appended, so that a turn costs what is new.
"""

from typing import Literal

from msgspec import Struct

from pilothouse.domain.run import OnBusy

TurnVerdict = Literal["go", "wait", "refuse", "interrupt", "rollback"]


class Session(Struct, kw_only=True):
    """`version` rises with every change of `state`; `turns` counts the history. `state` is a JSON object."""

    tenant: str
    agent: str
    key: str
    turns: int = 0
    state: bytes = b"{}"
    version: int = 0
    created_at: int = 0
    updated_at: int = 0
    expires_at: int | None = None


class Turn(Struct, array_like=True):
    """One past turn, as history shows it and as it travels to a host. Payloads are JSON bytes."""

    number: int
    run: str
    input: bytes
    output: bytes | None
    status: str
    finished_at: int


class Trail(Struct, array_like=True):
    """What a framework added to its own history in one turn: JSON that only its bridge reads. `is_whole`: it holds
    everything, and the trails before it are not needed any more."""

    content: bytes
    is_whole: bool = False


def decide_turn(on_busy: OnBusy, is_busy: bool) -> TurnVerdict:
    """What a new turn does. `is_busy`: a turn of the session is queued, running or waiting."""
    if not is_busy:
        return "go"
    match on_busy:
        case "enqueue":
            return "wait"
        case "reject":
            return "refuse"
        case "interrupt" | "rollback":
            return on_busy
