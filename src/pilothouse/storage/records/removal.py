"""What hangs on a run goes with it, in the transaction of whoever removes it: by age, with its session, by erasure.

How much goes in one transaction is bounded in runs by the caller and in rows here, since one run may have a hundred
thousand steps; whoever removes more comes again, and the living write in between.
"""

from collections.abc import Sequence

from pilothouse.storage.records.statements import Database, many
from pilothouse.storage.records.ticket import Key

ROWS = 20_000
"""Steps and events that go in one round; a run that has more goes alone."""


def bounded(connection: Database, runs: list[Key]) -> list[Key]:
    """The first of them, with at most ROWS steps and events; at least one."""
    sizes: dict[tuple[str, str], int] = {}
    for name in ("count_steps_of", "count_events_of"):
        for tenant, run, count in many(connection, name, runs):
            sizes[tenant, run] = sizes.get((tenant, run), 0) + count
    left = ROWS
    for number, run in enumerate(runs):
        left -= sizes.get(run, 0)
        if left < 0:
            return runs[: max(1, number)]
    return runs


def remove_runs(connection: Database, runs: Sequence[Key]) -> None:
    """Ended runs with all that hangs on them."""
    if runs:
        remove_deliveries(connection, many(connection, "deliveries_of_runs", runs))
        owners = [*runs, *many(connection, "reviews_of_runs", runs)]
        for name in ("prune_steps", "prune_events", "prune_reviews", "prune_runs"):
            many(connection, name, runs)
        many(connection, "prune_beside", [(tenant, f"{kind}:{run}") for tenant, run in runs for kind in BESIDE])
        lost = many(connection, "release_payloads", owners)
        many(connection, "drop_unused_payloads", lost)


def remove_deliveries(connection: Database, deliveries: Sequence[Key]) -> None:
    if deliveries:
        many(connection, "prune_deliveries", deliveries)
        many(connection, "drop_unused_payloads", many(connection, "release_payloads", deliveries))


BESIDE = ("groups",)
"""Kinds of documents of which a run may have one: `kind:run`."""
