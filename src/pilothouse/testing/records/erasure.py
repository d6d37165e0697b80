"""Clauses about what goes: pruning old runs with all that hangs on them, and nothing else.

A backend that keeps long payloads aside must keep them as long as somebody uses them, and no longer; the first half is
looked at here, the second in the backend's own tests.
"""

import asyncio

import msgspec
import pytest

from pilothouse.domain.hold import Hold, HoldStatus, Selector
from pilothouse.domain.retention import Retention
from pilothouse.ports.change import (
    MORE,
    Conflict,
    DropSession,
    ForkSession,
    InsertIdempotency,
    RememberCancel,
    TrimSession,
    WriteDocument,
)
from pilothouse.ports.records import Erased, Pruned
from pilothouse.testing.records.build import (
    AGENT,
    AT,
    LONG,
    SECOND,
    TENANT,
    OpenRecords,
    all_events,
    asks,
    born,
    claim,
    ended,
    fence,
    finish,
    put,
    queued,
    read,
    step,
    takes,
    told,
    turn,
    wish,
)

LATER = AT + 100 * SECOND


async def gone(records: OpenRecords, before: int, limit: int = 100, after: int = 0, **agents: int | None) -> int:
    """How many runs went in one round."""
    return (await records.prune(Retention(before, before, agents), limit, after)).runs


def hold(selector: Selector, status: HoldStatus = "effective") -> Hold:
    return Hold(
        id="hold_1",
        tenant=TENANT,
        effect="pause",
        selector=selector,
        reason="a lawsuit",
        status=status,
        placed_at=AT,
        placed_by="ann",
    )


def placed(one: Hold, version: int = 0) -> WriteDocument:
    return WriteDocument(one.tenant, one.id, "hold", version, one.status, msgspec.json.encode(one), AT)


class ErasureClauses:
    async def test_runs_that_ended_long_ago_go_with_all_that_hangs_on_them(self, records: OpenRecords) -> None:
        await put(records, born("run_a", input=LONG))
        await put(records, fence("run_a"), step("run_a", ended("s", LONG)), asks("rev_1", "run_a", details=LONG))
        await put(records, finish("run_a", output=LONG), told("run_a", "run.succeeded"))
        await put(records, born("run_b", input=LONG), finish("run_b", finished_at=LATER))
        assert await gone(records, LATER) == 1
        assert await records.get_run(TENANT, "run_a") is None
        assert await records.load_journal(TENANT, "run_a") == []
        assert await all_events(records, "run_a") == []
        assert await records.get_review(TENANT, "rev_1") is None
        assert (await read(records, "run_b")).input == LONG
        assert await gone(records, LATER + 1) == 1
        assert await gone(records, LATER + 1) == 0

    async def test_live_runs_and_turns_of_sessions_are_never_pruned(self, records: OpenRecords) -> None:
        await put(records, queued("run_q"), born("run_r"), turn("run_t"))
        await put(records, finish("run_t"), takes("run_t"))
        assert await gone(records, LATER) == 0
        for run in ("run_q", "run_r", "run_t"):
            await read(records, run)

    async def test_pruning_goes_in_bounded_rounds_oldest_first(self, records: OpenRecords) -> None:
        for number in range(5):
            await put(records, born(f"run_{number}"), finish(f"run_{number}", finished_at=AT + 5 - number))
        assert await gone(records, LATER, 2) == 2
        assert await records.get_run(TENANT, "run_4") is None
        assert await records.get_run(TENANT, "run_3") is None
        assert [await gone(records, LATER, 2) for _ in range(3)] == [2, 1, 0]

    async def test_a_long_payload_stays_as_long_as_somebody_uses_it(self, records: OpenRecords) -> None:
        await put(records, born("run_a", input=LONG), finish("run_a"))
        await put(records, turn("run_t", input=LONG))
        await put(records, finish("run_t"), takes("run_t", state=LONG))
        await put(records, born("run_x", tenant="other", input=LONG), finish("run_x", tenant="other"))
        await put(records, born("run_b", input=LONG))
        assert await gone(records, LATER) == 2
        assert (await read(records, "run_b")).input == LONG
        [only] = await records.list_turns(TENANT, AGENT, "chat", None, 10)
        session = await records.get_session(TENANT, AGENT, "chat")
        assert session is not None
        assert only.input == session.state == LONG

    async def test_an_id_of_a_pruned_run_starts_anew(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), told("run_a", "run.queued", "run.started"))
        await put(records, finish("run_a"))
        await gone(records, LATER)
        assert (await put(records, born("run_a"), told("run_a", "run.queued"))).seq == 1

    async def test_expired_keys_and_remembered_cancels_go(self, records: OpenRecords) -> None:
        await put(records, InsertIdempotency(TENANT, "old", b"d", "run_a", AT, AT + 1))
        await put(records, InsertIdempotency(TENANT, "new", b"d", "run_a", AT, LATER + 1))
        await put(
            records, RememberCancel(TENANT, "run_old", AT, AT + 1), RememberCancel(TENANT, "run_new", AT, LATER + 1)
        )
        await gone(records, LATER)
        assert await records.find_idempotency(TENANT, "old", AT) is None
        assert await records.find_idempotency(TENANT, "new", AT) is not None
        assert (await put(records, born("run_old", created_at=AT))).status == "running"
        assert (await put(records, born("run_new", created_at=AT))).status == "queued"

    async def test_agents_keep_their_runs_as_long_as_they_say_themselves(self, records: OpenRecords) -> None:
        for number, agent in enumerate(["long", "short", "ever", "other"]):
            await put(records, born(f"run_{agent}", agent=agent), finish(f"run_{agent}", finished_at=AT + number))
        short = AT + 50 * SECOND
        rule = Retention(LATER, AT + 3, {"long": AT, "short": short, "ever": None})
        assert await records.prune(rule, 100) == Pruned(1, None)
        assert await records.get_run(TENANT, "run_short") is None
        rule = Retention(LATER, AT + 4, {"long": AT + 1, "ever": None})
        assert await records.prune(rule, 100) == Pruned(2, None)
        assert (await read(records, "run_ever")).agent == "ever"

    async def test_tenants_keep_their_runs_as_long_as_they_say_and_longer_where_an_agent_must(
        self, records: OpenRecords
    ) -> None:
        said = [(tenant, agent) for tenant in ("short", "long", "ever", "other") for agent in ("law", "keep", "any")]
        for number, (tenant, agent) in enumerate(said):
            run = f"run_{agent}"
            await put(
                records, born(run, tenant=tenant, agent=agent), finish(run, tenant=tenant, finished_at=AT + number)
            )
        agents, tenants = {"law": AT, "keep": None}, {"short": AT + 200, "long": AT, "ever": None}
        after: int | None = 0
        rounds = 0
        while after is not None:
            pruned = await records.prune(Retention(LATER, AT + 100, agents, tenants), 3, after)
            after, rounds = pruned.after, rounds + 1
            assert rounds < 20
        gone = [one for one in said if await records.get_run(one[0], f"run_{one[1]}") is None]
        assert gone == [("short", "any"), ("other", "any")]

    @pytest.mark.parametrize("names", [{}, {"agent": AGENT}, {"run": "run_a"}, {"release": "r1"}])
    async def test_what_a_hold_covers_is_never_pruned_until_it_is_lifted(
        self, records: OpenRecords, names: dict[str, str]
    ) -> None:
        await put(records, born("run_a", release="r1"), told("run_a", "run.started"))
        await put(records, finish("run_a"))
        for number, tenant in enumerate(["other", TENANT]):
            await put(records, born("run_b", tenant=tenant, agent="b"), finish("run_b", tenant=tenant))
            if not number:
                await put(records, placed(hold(Selector(**names))))
        went = await gone(records, LATER)
        assert went == (1 if names == {} or "release" in names else 2)
        assert len(await all_events(records, "run_a")) == 1
        await put(records, placed(hold(Selector(**names), "lifted"), 1))
        await gone(records, LATER)
        assert await records.get_run(TENANT, "run_a") is None

    @pytest.mark.parametrize("at_once", [2, 10])
    async def test_what_stays_is_stepped_over_and_holds_up_nobody(self, records: OpenRecords, at_once: int) -> None:
        """`at_once`: how many ended in one microsecond."""
        await put(records, placed(hold(Selector(agent="held"))))
        for number in range(10):
            agent, run = "held" if number < 7 else AGENT, f"run_{number}"
            await put(records, born(run, agent=agent), finish(run, finished_at=AT + number // at_once))
        after: int | None = 0
        went = rounds = 0
        while after is not None:
            pruned = await records.prune(Retention(LATER, LATER), 2, after)
            went, after, rounds = went + pruned.runs, pruned.after, rounds + 1
            assert rounds < 20
        assert went == 3
        assert [(await records.get_run(TENANT, f"run_{number}") is None) for number in (0, 6, 7, 9)] == [
            False, False, True, True,
        ]  # fmt: skip

    async def test_a_subject_is_found_in_its_runs_and_in_the_turns_of_forks(self, records: OpenRecords) -> None:
        await put(records, born("run_a", subject="ann"), born("run_b", subject="bob"), born("run_n"))
        await put(records, born("run_x", tenant="other", subject="ann"))
        await put(records, turn("run_t", subject="ann"))
        await put(records, finish("run_t"), takes("run_t"))
        await put(records, ForkSession(TENANT, "fork", AGENT, "chat", None, b"{}", AT, None))
        found = await records.list_runs_of_subject(TENANT, "ann", 0, 10)
        assert [(one.id, one.session, one.status) for one in found] == [
            ("run_a", None, "running"), ("run_t", "chat", "succeeded"),
        ]  # fmt: skip
        assert await records.list_runs_of_subject(TENANT, "ann", found[0].pos, 10) == found[1:]
        assert await records.list_runs_of_subject(TENANT, "ann", 0, 1) == found[:1]
        both = [(AGENT, "chat"), (AGENT, "fork")]
        assert sorted(await records.list_sessions_of_subject(TENANT, "ann")) == both
        assert await records.list_sessions_of_subject("other", "ann") == []

    async def test_ended_runs_of_a_subject_are_erased_whatever_their_age(self, records: OpenRecords) -> None:
        for number in range(3):
            run = f"run_{number}"
            await put(records, born(run, subject="ann", input=LONG + b" " * number), told(run, "run.started"))
            await put(records, finish(run))
        await put(records, born("run_live", subject="ann"), born("run_b", subject="bob"))
        await put(records, finish("run_b"))
        rounds = [await records.erase_runs(TENANT, "ann", 2) for _ in range(3)]
        assert [one.runs for one in rounds] == [2, 1, 0]
        assert await records.get_run(TENANT, "run_0") is None
        assert await all_events(records, "run_0") == []
        assert (await read(records, "run_live")).status == "running"
        assert (await read(records, "run_b")).status == "succeeded"

    async def test_a_hold_stops_the_round_that_would_erase_what_it_covers(self, records: OpenRecords) -> None:
        for number in range(3):
            await put(records, born(f"run_{number}", subject="ann"), finish(f"run_{number}"))
        await put(records, placed(hold(Selector(run="run_1"))))
        assert await records.erase_runs(TENANT, "ann", 10) == Erased(0, "hold_1", "a lawsuit")
        assert (await read(records, "run_0")).status == "succeeded"

    async def test_a_session_is_trimmed_from_its_oldest_turn_on_as_long_as_none_is_live(
        self, records: OpenRecords
    ) -> None:
        for number in range(3):
            run = f"run_{number}"
            await put(records, turn(run, input=LONG + b" " * number), told(run, "run.queued"))
            await put(records, finish(run, output=LONG), takes(run))
        trim = TrimSession(TENANT, "chat", AGENT, 2)
        await put(records, turn("run_x"))
        with pytest.raises(Conflict):
            await put(records, trim)
        await put(records, finish("run_x"), takes("run_x"))
        assert (await put(records, trim)).status == MORE
        assert await records.get_run(TENANT, "run_1") is None
        turns = await records.list_turns(TENANT, AGENT, "chat", None, 10)
        assert [(one.number, one.input[:1], one.output == LONG) for one in turns] == [
            (3, LONG[:1], True), (4, turns[1].input[:1], False),
        ]  # fmt: skip
        statuses: list[str] = []
        while not statuses or statuses[-1] == MORE:
            statuses.append((await put(records, trim)).status)
        assert len(statuses) <= 4
        assert await records.list_turns(TENANT, AGENT, "chat", None, 10) == []
        await put(records, DropSession(TENANT, "chat", AGENT))
        with pytest.raises(Conflict):
            await put(records, trim)

    async def test_a_round_is_bounded_by_what_hangs_on_its_runs(
        self, records: OpenRecords, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pilothouse.storage.records.removal.ROWS", 5)
        for number in range(4):
            run = f"run_{number}"
            await put(records, born(run), told(run, "run.started"))
            await put(records, fence(run), *(step(run, ended(f"s{n}")) for n in range(10 if number == 2 else 1)))
            await put(records, finish(run, finished_at=AT + number), told(run, "run.succeeded"))
        went: list[int] = []
        after: int | None = 0
        while after is not None:
            pruned = await records.prune(Retention(LATER, LATER), 100, after)
            went.append(pruned.runs)
            after = pruned.after
        assert went == [1, 1, 1, 1]

    async def test_a_long_removal_lets_a_claim_pass_after_the_round_that_is_under_way(
        self, records: OpenRecords
    ) -> None:
        for number in range(12):
            await put(records, born(f"run_{number}"), finish(f"run_{number}"))
        order: list[str] = []

        async def remove() -> None:
            after: int | None = 0
            while after is not None:
                after = (await records.prune(Retention(LATER, LATER), 2, after)).after
                order.append("round")

        await put(records, queued("run_q"))
        removing = asyncio.create_task(remove())
        await asyncio.sleep(0)  # the first round is handed over
        [run] = await records.claim(claim(wish(1)))
        order.append(run.id)
        await removing
        assert order.index("run_q") <= 1
        assert len(order) >= 7
