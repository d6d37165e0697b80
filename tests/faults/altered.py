"""Starts the program `pilothouse` with something in it altered: a limit made short so that a test need not wait for it,
a seam held open so that a kill can strike there, or a bug planted so that a checker can be shown to find it.

What to alter comes as JSON in the variable FAULTS: `{"limits": {...}, "lease": seconds, "renew": seconds, "lose_acks":
prefix, "die": [seam, nth], "again": seconds, "layout": [[name, sql]], "postgres": {...}, "bugs": [name]}`. It is done
from outside, so that the source has no hooks for tests. Only the node is altered, never a host.
"""

import asyncio
import dataclasses
import json
import os
import signal
from collections.abc import Sequence
from typing import Any

import msgspec

from pilothouse import app, backing
from pilothouse.cli import main
from pilothouse.communication.triggers.loop import SourceLoop
from pilothouse.compute import loops, process
from pilothouse.compute.host import Host
from pilothouse.compute.seat import Seat
from pilothouse.domain import lease
from pilothouse.domain.event import Segment
from pilothouse.ports.change import AppendEvents, AppendStep, InsertRun, Receipt, Statement
from pilothouse.settings import triggers
from pilothouse.storage.records import migrate
from pilothouse.storage.records.postgres import migrate as postgres_migrate
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.wire.frames import StepEnded

WORKER_LIMITS = {"answers_within", "loads_within", "restart_after", "restart_at_most"}
ELSEWHERE: dict[str, Any] = {"watch_every": (process, "WATCH_EVERY"), "stayed_up": (process, "STAYED_UP")}


def set_limits(limits: dict[str, float]) -> None:
    for name in ELSEWHERE.keys() & limits.keys():
        module, constant = ELSEWHERE[name]
        setattr(module, constant, limits[name])
    mine: dict[str, Any] = {name: limits[name] for name in WORKER_LIMITS & limits.keys()}
    plain = app.worker_options
    app.worker_options = lambda settings: dataclasses.replace(plain(settings), **mine)


# --- seams ------------------------------------------------------------------------------------------------------------


def lose_acks(prefix: str) -> None:
    """The host of the run `prefix` + n never hears that the end of its step n is durable: the attempt stops there."""
    plain_receive, plain_acked = Host.receive, Seat.acked
    ends: set[tuple[int, int]] = set()

    def receive(self: Host, messages: Sequence[Any]) -> None:
        for message in messages:
            seat = self.seats.get(getattr(message, "slot", -1))
            if isinstance(message, StepEnded) and seat is not None:
                number = json.loads(message.row.input or b"{}").get("number")
                if seat.notebook.run.id == f"{prefix}{number}":
                    ends.add((id(seat), message.ref))
        plain_receive(self, messages)

    def acked(self: Seat, refs: Sequence[int]) -> None:
        plain_acked(self, [ref for ref in refs if (id(self), ref) not in ends])

    Host.receive = receive  # type: ignore[method-assign, assignment]
    Seat.acked = acked  # type: ignore[method-assign, assignment]


def die_around_acknowledgement(seam: str, nth: int) -> None:
    """SIGKILL at the n-th message of sources: when it was "taken" and nothing is durable, when its run is "durable" and
    the broker does not know, or when it is "settled": the broker was told, and the node does not know."""
    seen = {"taken": 0, "durable": 0, "settled": 0}
    plain_take, plain_settle = SourceLoop._take, SourceLoop._settle

    def pass_by(here: str) -> None:
        seen[here] += 1
        if here == seam and seen[here] == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    async def take(self: SourceLoop, one: Any) -> bool:
        pass_by("taken")
        return await plain_take(self, one)

    async def settle(self: SourceLoop, one: Any, taken: Any) -> None:
        pass_by("durable")
        await plain_settle(self, one, taken)
        pass_by("settled")

    SourceLoop._take = take  # type: ignore[method-assign]
    SourceLoop._settle = settle  # type: ignore[method-assign]


def bring_again_soon(seconds: float) -> None:
    """What a node has taken and not settled, of the sources that would wait for a minute."""
    made: Any = triggers
    redis, sqs = made.RedisStream, made.SqsQueue
    made.RedisStream = lambda *words: redis(*words, idle=round(seconds * 1000))
    made.SqsQueue = lambda url: sqs(url, visible=max(1, round(seconds)))


def have_little_patience(with_postgres: dict[str, float]) -> None:
    """Some of `PostgresOptions`."""
    plain = backing.postgres_options
    backing.postgres_options = lambda settings: msgspec.structs.replace(plain(settings), **with_postgres)


def be_the_next_release(layout: list[tuple[str, str]]) -> None:
    """It knows these migrations beyond those of this one."""
    plain = migrate.migrations

    def known() -> list[migrate.Migration]:
        found = plain()
        for name, text in layout:
            found.append(migrate.Migration(len(found) + 1, name, text))
        return found

    migrate.migrations = postgres_migrate.migrations = known  # type: ignore[attr-defined]


# --- bugs -------------------------------------------------------------------------------------------------------------

LATE = 10.0
"""Seconds between the word of a bug and the deed."""

LATE_FOR_EVENTS = 1.0
"""The same where the run itself has to wait for the deed."""


def tell_before_commit(kind: type[Statement]) -> None:
    """Whoever hands over a Change with such a statement hears that it is durable a good while before it is."""
    plain = SqliteRecords._put

    def put(self: SqliteRecords, item: Any) -> None:
        statements = getattr(getattr(item, "change", None), "statements", ())
        if not any(isinstance(one, kind) for one in statements):
            plain(self, item)
            return
        tell, item.done = item.done, lambda outcome: None
        loop = asyncio.get_running_loop()
        loop.call_soon(tell, Receipt(1, "queued"))
        loop.call_later(LATE, plain, self, item)

    SqliteRecords._put = put  # type: ignore[method-assign, assignment]


def send_before_commit() -> None:
    """Readers of streams get the events of an attempt a good while before these are durable."""
    plain = SqliteRecords._put
    numbers: dict[str, int] = {}

    def put(self: SqliteRecords, item: Any) -> None:
        change = getattr(item, "change", None)
        statements = change.statements if change is not None else ()
        told = [one for one in statements if isinstance(one, AppendEvents)]
        if not told or any(isinstance(one, InsertRun) for one in statements):
            plain(self, item)
            return
        for one in told:
            seq = numbers.setdefault(one.id, 2)  # 1 is in the Change that inserts the run
            numbers[one.id] = seq + one.count
            for listener in self._listeners:
                listener(one.tenant, Segment(one.id, seq, one.count, one.at, one.lines))
        asyncio.get_running_loop().call_later(LATE_FOR_EVENTS, plain, self, item)

    SqliteRecords._put = put  # type: ignore[method-assign, assignment]


BUGS = {
    "events go out before the commit": send_before_commit,
    "steps are acknowledged before the commit": lambda: tell_before_commit(AppendStep),
    "runs are acknowledged before the commit": lambda: tell_before_commit(InsertRun),
}


def shorten_leases(seconds: float) -> None:
    lease.TERM = round(seconds * 1e6)
    loops.RENEW_EVERY = lease.TERM // 3


def alter(asked: dict[str, Any]) -> None:
    if "lease" in asked:
        shorten_leases(asked["lease"])
    if "renew" in asked:
        loops.RENEW_EVERY = round(asked["renew"] * 1e6)
    set_limits(asked.get("limits", {}))
    if "lose_acks" in asked:
        lose_acks(asked["lose_acks"])
    if "die" in asked:
        die_around_acknowledgement(*asked["die"])
    if "layout" in asked:
        be_the_next_release(asked["layout"])
    if "postgres" in asked:
        have_little_patience(asked["postgres"])
    if "again" in asked:
        bring_again_soon(asked["again"])
    for bug in asked.get("bugs", ()):
        BUGS[bug]()


if __name__ == "__main__":
    alter(json.loads(os.environ["FAULTS"]))
    main()
