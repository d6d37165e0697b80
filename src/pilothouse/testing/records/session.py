"""Clauses about sessions: one turn at a time, in order; a state with versions; history, forks and ends.

A turn that finds its session taken stands in line, and whoever ends a turn advances the line in the same Change.
"""

from pilothouse.domain.session import Trail
from pilothouse.ports.change import (
    AdvanceSession,
    DropSession,
    EndIdleRun,
    ForkSession,
    ParkRun,
    RequestCancel,
    RequeueRun,
    WriteState,
)
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
    delayed,
    ended,
    falls,
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

ADVANCE = AdvanceSession(TENANT, "chat", AGENT, AT)


async def take_turns(records: OpenRecords, count: int, key: str = "chat") -> None:
    """Turns `run_0`, `run_1`, ... of the session, each with the state that names it."""
    for number in range(count):
        run = f"run_{key}_{number}" if key != "chat" else f"run_{number}"
        state = b'{"after":%d}' % number
        await put(records, turn(run, key, input=b"%d" % number))
        await put(records, finish(run, output=b'"%d"' % number), takes(run, key, number, state))


class SessionClauses:
    async def test_a_second_turn_stands_in_line(self, records: OpenRecords) -> None:
        assert (await put(records, turn("run_0"))).status == "running"
        assert (await put(records, turn("run_1"))).status == "queued"
        waiting = await read(records, "run_1")
        assert (waiting.ready, waiting.epoch, waiting.owner, waiting.lease_until, waiting.started_at) == (
            False,
            0,
            None,
            None,
            None,
        )
        assert await records.claim(claim(wish(5))) == []
        await put(records, finish("run_0"), takes("run_0"), ADVANCE)
        [run] = await records.claim(claim(wish(5)))
        assert (run.id, run.epoch) == ("run_1", 1)

    async def test_sessions_and_agents_and_tenants_do_not_wait_for_each_other(self, records: OpenRecords) -> None:
        assert (await put(records, turn("run_0"))).status == "running"
        assert (await put(records, turn("run_1", "other"))).status == "running"
        assert (await put(records, turn("run_2", agent="audit"))).status == "running"
        assert (await put(records, turn("run_3", tenant="other"))).status == "running"

    async def test_turns_that_are_handed_over_together_run_one_after_the_other(self, records: OpenRecords) -> None:
        """A hundred at once, in the order in which they came (one writer at a time)."""
        count = 100
        receipts = [put(records, turn(f"run_{number}", input=b"%d" % number)) for number in range(count)]
        statuses = [(await receipt).status for receipt in receipts]
        assert statuses == ["running"] + ["queued"] * (count - 1)
        for number in range(count):
            if number:
                [run] = await records.claim(claim(wish(5)))
                assert run.id == f"run_{number}"
            state = b'{"after":%d}' % number
            await put(records, finish(f"run_{number}"), takes(f"run_{number}", version=number, state=state), ADVANCE)
        turns = await records.list_turns(TENANT, AGENT, "chat", None, 1000)
        assert [one.number for one in turns] == list(range(1, count + 1))
        assert [one.input for one in turns] == [b"%d" % number for number in range(count)]
        session = await records.get_session(TENANT, AGENT, "chat")
        assert session is not None
        assert (session.turns, session.version, session.state) == (count, count, b'{"after":99}')

    async def test_an_end_and_the_next_turn_handed_over_together_leave_nobody_behind(
        self, records: OpenRecords
    ) -> None:
        await put(records, turn("run_0"))
        for number in range(1, 30):
            last = f"run_{number - 1}"
            epoch = (await read(records, last)).epoch
            changes = [put(records, finish(last, epoch), ADVANCE), put(records, turn(f"run_{number}"))]
            if number % 2:
                changes.reverse()
                changes = [put(records, turn(f"run_x{number}", f"x{number}")), *changes]
            for change in changes:
                await change
            run = await read(records, f"run_{number}")
            if run.status == "queued":
                assert run.ready
                [run] = await records.claim(claim(wish(1)))
            assert (run.id, run.status) == (f"run_{number}", "running")

    async def test_a_waiting_turn_holds_its_session(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"), ParkRun(TENANT, "run_0", 1, 0, None))
        assert (await put(records, turn("run_1"))).status == "queued"
        await put(records, ADVANCE)
        assert (await read(records, "run_1")).ready is False

    async def test_advancing_never_makes_two_turns_ready(self, records: OpenRecords) -> None:
        for number in range(4):
            await put(records, turn(f"run_{number}"))
        await put(records, EndIdleRun(TENANT, "run_1", "cancelled", None, AT), ADVANCE)
        assert await records.claim(claim(wish(5))) == []
        changes = [put(records, finish("run_0"), ADVANCE), put(records, ADVANCE), put(records, ADVANCE)]
        for change in changes:
            await change
        assert [run.id for run in await records.claim(claim(wish(5)))] == ["run_2"]

    async def test_a_turn_that_is_to_be_cancelled_is_not_the_next_one(self, records: OpenRecords) -> None:
        for number in range(3):
            await put(records, turn(f"run_{number}"))
        await put(records, RequestCancel(TENANT, "run_1", AT, "enough", False))
        await put(records, finish("run_0"), ADVANCE)
        assert [run.id for run in await records.claim(claim(wish(5)))] == ["run_2"]

    async def test_a_delayed_turn_is_not_started_early(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"))
        await put(records, delayed("run_1", AT + 50, "chat"))
        await put(records, turn("run_2"))
        await put(records, finish("run_0"), ADVANCE)
        assert [run.id for run in await records.claim(claim(wish(5)))] == ["run_2"]

    async def test_a_turn_that_is_tried_again_keeps_its_session(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"))
        await put(records, turn("run_1"))
        await put(records, RequeueRun(TENANT, "run_0", 1, 2, 0, None), ADVANCE)
        [run] = await records.claim(claim(wish(5)))
        assert run.id == "run_0"

    async def test_a_turn_that_is_on_hold_keeps_its_session(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"))
        await put(records, turn("run_1"))
        await put(records, RequeueRun(TENANT, "run_0", 1, 1, 0, None, "hold_a"), ADVANCE)
        assert await records.claim(claim(wish(5))) == []
        assert await records.release_held("hold_a", 10) == 1
        assert [run.id for run in await records.claim(claim(wish(5)))] == ["run_0"]

    async def test_live_turns_are_listed_in_order(self, records: OpenRecords) -> None:
        for number in range(3):
            await put(records, turn(f"run_{number}"))
        await put(records, finish("run_0"), ADVANCE)
        await put(records, turn("run_x", "other"), born("run_y"))
        live = await records.list_live_turns(TENANT, AGENT, "chat")
        assert [(run.id, run.ready) for run in live] == [("run_1", True), ("run_2", False)]

    # --- state --------------------------------------------------------------------------------------------------------

    async def test_the_first_turn_makes_the_session(self, records: OpenRecords) -> None:
        assert await records.get_session(TENANT, AGENT, "chat") is None
        await put(records, turn("run_0", input=b'"hello"'))
        await put(records, finish("run_0", output=b'"hi"'), takes("run_0", state=b'{"n":1}', expires_at=AT + 99))
        session = await records.get_session(TENANT, AGENT, "chat")
        assert session is not None
        assert (session.turns, session.version, session.state) == (1, 1, b'{"n":1}')
        assert (session.created_at, session.updated_at, session.expires_at) == (AT + SECOND, AT + SECOND, AT + 99)
        [only] = await records.list_turns(TENANT, AGENT, "chat", None, 10)
        assert (only.number, only.run, only.input, only.output) == (1, "run_0", b'"hello"', b'"hi"')
        assert (only.status, only.finished_at) == ("succeeded", AT + SECOND)

    async def test_a_turn_is_kept_as_its_run_ended_whatever_the_order_of_the_acts(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"))
        await put(records, takes("run_0"), finish("run_0", status="failed"))
        [only] = await records.list_turns(TENANT, AGENT, "chat", None, 10)
        assert (only.status, only.output) == ("failed", None)

    async def test_a_turn_without_a_state_leaves_the_state_and_its_version(self, records: OpenRecords) -> None:
        await take_turns(records, 1)
        await put(records, turn("run_x"))
        await put(records, finish("run_x"), takes("run_x", version=55))
        session = await records.get_session(TENANT, AGENT, "chat")
        assert session is not None
        assert (session.turns, session.version, session.state) == (2, 1, b'{"after":0}')

    async def test_a_session_made_without_a_state_has_version_zero(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"))
        await put(records, finish("run_0"), takes("run_0"))
        session = await records.get_session(TENANT, AGENT, "chat")
        assert session is not None
        assert (session.version, session.state) == (0, b"{}")

    async def test_a_turn_with_another_version_falls(self, records: OpenRecords) -> None:
        await take_turns(records, 2)
        await put(records, turn("run_x"))
        for version in (0, 1, 3):
            stale = put(records, finish("run_x"), takes("run_x", version=version, state=b"{}"))
            assert await falls(stale) == "take_turn"
        await put(records, finish("run_x"), takes("run_x", version=2, state=b"{}"))

    async def test_a_turn_of_a_session_that_was_dropped_falls_when_it_knew_a_state(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"))
        assert await falls(put(records, takes("run_0", version=4, state=b"{}"))) == "take_turn"
        assert await records.get_session(TENANT, AGENT, "chat") is None

    async def test_a_turn_of_no_run_falls(self, records: OpenRecords) -> None:
        assert await falls(put(records, takes("run_none"))) == "take_turn"

    async def test_the_state_is_replaced_when_its_version_is_the_expected_one(self, records: OpenRecords) -> None:
        await take_turns(records, 1)
        write = WriteState(TENANT, "chat", AGENT, 1, b'{"by":"hand"}', AT + 7)
        await put(records, write)
        assert await falls(put(records, write)) == "write_state"
        session = await records.get_session(TENANT, AGENT, "chat")
        assert session is not None
        assert (session.state, session.version, session.updated_at, session.turns) == (b'{"by":"hand"}', 2, AT + 7, 1)

    async def test_the_state_is_not_replaced_while_a_turn_is_in_progress(self, records: OpenRecords) -> None:
        await take_turns(records, 1)
        await put(records, turn("run_x"))
        write = WriteState(TENANT, "chat", AGENT, 1, b"{}", AT)
        assert await falls(put(records, write)) == "write_state"
        await put(records, ParkRun(TENANT, "run_x", 1, 0, None))
        assert await falls(put(records, write)) == "write_state"
        await put(records, EndIdleRun(TENANT, "run_x", "cancelled", None, AT))
        await put(records, queued("run_y", session="chat", ready=False))
        await put(records, write)

    async def test_there_is_no_state_of_a_session_that_is_not_there(self, records: OpenRecords) -> None:
        assert await falls(put(records, WriteState(TENANT, "chat", AGENT, 0, b"{}", AT))) == "write_state"

    async def test_a_long_state_is_replaced_and_read_back(self, records: OpenRecords) -> None:
        await put(records, turn("run_0", input=LONG))
        await put(records, finish("run_0", output=LONG), takes("run_0", state=LONG))
        for version in (1, 2, 3):
            state = LONG if version == 2 else LONG + b" " * version
            await put(records, WriteState(TENANT, "chat", AGENT, version, state, AT))
            session = await records.get_session(TENANT, AGENT, "chat")
            assert session is not None
            assert session.state == state
        [only] = await records.list_turns(TENANT, AGENT, "chat", None, 10)
        assert (only.input, only.output) == (LONG, LONG)

    # --- history and forks --------------------------------------------------------------------------------------------

    async def test_history_is_read_in_pages_from_the_newest(self, records: OpenRecords) -> None:
        await take_turns(records, 7)
        newest = await records.list_turns(TENANT, AGENT, "chat", None, 3)
        assert [one.number for one in newest] == [5, 6, 7]
        assert [one.number for one in await records.list_turns(TENANT, AGENT, "chat", 5, 3)] == [2, 3, 4]
        assert [one.number for one in await records.list_turns(TENANT, AGENT, "chat", 2, 3)] == [1]
        assert await records.list_turns("other", AGENT, "chat", None, 3) == []

    async def test_trails_are_read_from_the_last_whole_one_on(self, records: OpenRecords) -> None:
        kept = ((b'["a"]', False), (LONG, False), (b'["c"]', True), (None, False), (LONG + b" ", False))
        for number, (trail, is_whole) in enumerate(kept):
            await put(records, turn(f"run_{number}"))
            ends = takes(f"run_{number}", version=number, trail=trail, is_whole=is_whole)
            await put(records, finish(f"run_{number}"), ends)
            if number == 1:
                both = await records.list_trails(TENANT, AGENT, "chat")
                assert both == [Trail(b'["a"]'), Trail(LONG)]
        assert await records.list_trails(TENANT, AGENT, "chat") == [Trail(b'["c"]', True), Trail(LONG + b" ")]
        assert await records.list_trails("other", AGENT, "chat") == []
        assert await records.list_trails(TENANT, "audit", "chat") == []

    async def test_a_fork_has_the_trails_up_to_its_run_and_they_outlive_the_source(self, records: OpenRecords) -> None:
        for number, is_whole in enumerate((False, False, True)):
            await put(records, turn(f"run_{number}"))
            ends = takes(f"run_{number}", version=number, trail=LONG + b" " * number, is_whole=is_whole)
            await put(records, finish(f"run_{number}"), ends)
        await put(records, ForkSession(TENANT, "fork", AGENT, "chat", "run_1", b"{}", AT, None))
        await put(records, DropSession(TENANT, "chat", AGENT))
        assert await records.list_trails(TENANT, AGENT, "fork") == [Trail(LONG), Trail(LONG + b" ")]

    async def test_a_fork_has_the_turns_up_to_a_run_and_a_state_of_its_own(self, records: OpenRecords) -> None:
        await take_turns(records, 4)
        fork = ForkSession(TENANT, "fork", AGENT, "chat", "run_1", b'{"forked":true}', AT + 9, AT + 99)
        await put(records, fork)
        session = await records.get_session(TENANT, AGENT, "fork")
        assert session is not None
        assert (session.turns, session.version, session.state) == (2, 1, b'{"forked":true}')
        assert (session.created_at, session.expires_at) == (AT + 9, AT + 99)
        turns = await records.list_turns(TENANT, AGENT, "fork", None, 10)
        assert [(one.number, one.run, one.input) for one in turns] == [(1, "run_0", b"0"), (2, "run_1", b"1")]
        assert await falls(put(records, fork)) == "fork_session"
        await put(records, turn("run_f", "fork"))
        await put(records, finish("run_f"), takes("run_f", "fork", 1, b"{}"))
        assert [one.number for one in await records.list_turns(TENANT, AGENT, "fork", None, 10)] == [1, 2, 3]
        assert len(await records.list_turns(TENANT, AGENT, "chat", None, 10)) == 4

    async def test_a_fork_of_everything(self, records: OpenRecords) -> None:
        await take_turns(records, 3)
        await put(records, ForkSession(TENANT, "fork", AGENT, "chat", None, LONG, AT, None))
        assert len(await records.list_turns(TENANT, AGENT, "fork", None, 10)) == 3

    async def test_a_fork_of_what_is_not_there_falls(self, records: OpenRecords) -> None:
        await take_turns(records, 1)
        nothing = ForkSession(TENANT, "fork", AGENT, "none", None, b"{}", AT, None)
        assert await falls(put(records, nothing)) == "fork_session"
        no_such_run = ForkSession(TENANT, "fork", AGENT, "chat", "run_9", b"{}", AT, None)
        assert await falls(put(records, no_such_run)) == "fork_session"

    async def test_a_fork_survives_the_session_it_came_from(self, records: OpenRecords) -> None:
        await put(records, turn("run_0", input=LONG))
        await put(records, finish("run_0", output=LONG + b" "), takes("run_0", state=LONG))
        await put(records, ForkSession(TENANT, "fork", AGENT, "chat", None, LONG, AT, None))
        await put(records, DropSession(TENANT, "chat", AGENT))
        [only] = await records.list_turns(TENANT, AGENT, "fork", None, 10)
        assert (only.input, only.output) == (LONG, LONG + b" ")
        session = await records.get_session(TENANT, AGENT, "fork")
        assert session is not None
        assert session.state == LONG

    # --- ends ---------------------------------------------------------------------------------------------------------

    async def test_a_dropped_session_takes_its_turns_and_runs_with_it(self, records: OpenRecords) -> None:
        await take_turns(records, 2)
        await take_turns(records, 1, "other")
        await put(records, turn("run_x"))
        await put(records, fence("run_x"), step("run_x", ended("s", LONG)), asks("rev_1", "run_x", details=LONG))
        await put(records, finish("run_x"), told("run_x", "run.succeeded"))
        await put(records, DropSession(TENANT, "chat", AGENT))
        assert await records.get_session(TENANT, AGENT, "chat") is None
        assert await records.list_turns(TENANT, AGENT, "chat", None, 10) == []
        for run in ("run_0", "run_1", "run_x"):
            assert await records.get_run(TENANT, run) is None
        assert await records.load_journal(TENANT, "run_x") == []
        assert await all_events(records, "run_x") == []
        assert await records.get_review(TENANT, "rev_1") is None
        assert await records.get_session(TENANT, AGENT, "other") is not None
        assert await falls(put(records, DropSession(TENANT, "chat", AGENT))) == "drop_session"

    async def test_a_session_with_a_live_turn_is_not_dropped(self, records: OpenRecords) -> None:
        await take_turns(records, 1)
        await put(records, turn("run_x"))
        assert await falls(put(records, DropSession(TENANT, "chat", AGENT))) == "drop_session"
        await put(records, finish("run_x"))
        await put(records, DropSession(TENANT, "chat", AGENT))

    async def test_an_id_of_a_dropped_run_starts_anew(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"), told("run_0", "run.queued", "run.started"))
        await put(records, finish("run_0"), takes("run_0"))
        await put(records, DropSession(TENANT, "chat", AGENT))
        receipt = await put(records, turn("run_0", "elsewhere"), told("run_0", "run.queued"))
        assert (receipt.seq, receipt.status) == (1, "running")
        assert (await put(records, turn("run_1"))).status == "running"

    async def test_sessions_whose_time_is_over_are_found(self, records: OpenRecords) -> None:
        for number in range(3):
            await put(records, turn(f"run_{number}", f"chat-{number}"))
            expires_at = AT + 10 * number if number else None
            await put(records, finish(f"run_{number}"), takes(f"run_{number}", f"chat-{number}", expires_at=expires_at))
        assert [one.key for one in await records.list_stale_sessions(AT + 9, 10)] == []
        assert [one.key for one in await records.list_stale_sessions(AT + 10, 10)] == ["chat-1"]
        assert [one.key for one in await records.list_stale_sessions(AT + 99, 10)] == ["chat-1", "chat-2"]
        assert len(await records.list_stale_sessions(AT + 99, 1)) == 1
