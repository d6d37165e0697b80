"""Clauses about reviews: asked once, ended once (I11), found by who has to decide.

Verdicts, expiry and the end of the run race for one row; whoever comes second learns it by a conflict.
"""

import asyncio
import json

from pilothouse.errors import BadCursor
from pilothouse.ports.change import CloseReview, Conflict, ExtendReview, SupersedeReview
from pilothouse.testing.records.audit import all_entries, says
from pilothouse.testing.records.build import AT, LONG, TENANT, OpenRecords, asks, born, cancels, falls, finish, put


class ReviewClauses:
    async def test_a_review_is_read_back_as_it_was_asked(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), asks("rev_1", "run_a", details=LONG, expires_at=AT + 50))
        review = await records.get_review(TENANT, "rev_1")
        assert review is not None
        assert (review.run, review.step, review.agent, review.kind) == ("run_a", "ask-rev_1", "desk", "gate")
        assert (review.question, review.details, review.status) == ("May I?", LONG, "open")
        assert (review.answer, review.created_at, review.expires_at, review.decided_at) == (None, AT, AT + 50, None)
        assert await records.get_review("other", "rev_1") is None

    async def test_a_repeated_attempt_that_asks_again_changes_nothing(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), asks("rev_1", "run_a"))
        await put(records, CloseReview(TENANT, "rev_1", "decided", b'{"verdict":"approve"}', AT + 1))
        await put(records, asks("rev_1", "run_a", question="Again?"))
        review = await records.get_review(TENANT, "rev_1")
        assert review is not None
        assert (review.status, review.question) == ("decided", "May I?")

    async def test_of_racing_verdicts_one_wins(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), asks("rev_1", "run_a"))
        verdicts = [
            put(records, CloseReview(TENANT, "rev_1", "decided", b'{"by":"%d"}' % number, AT + number))
            for number in range(10)
        ]
        outcomes = await asyncio.gather(*verdicts, return_exceptions=True)
        assert [isinstance(outcome, Conflict) for outcome in outcomes] == [False] + [True] * 9
        review = await records.get_review(TENANT, "rev_1")
        assert review is not None
        assert (review.status, review.answer, review.decided_at) == ("decided", b'{"by":"0"}', AT)

    async def test_a_review_that_is_not_there_cannot_be_closed(self, records: OpenRecords) -> None:
        assert await falls(put(records, CloseReview(TENANT, "rev_1", "decided", None, AT))) == "close_review"

    async def test_the_open_reviews_of_a_run_that_ended_are_cancelled(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b"))
        await put(records, asks("rev_1", "run_a"), asks("rev_2", "run_a"), asks("rev_3", "run_b"))
        await put(records, CloseReview(TENANT, "rev_1", "decided", b"{}", AT + 1))
        await put(records, finish("run_a"), cancels("run_a", AT + 2))
        found = [await records.get_review(TENANT, f"rev_{number}") for number in (1, 2, 3)]
        assert [review and (review.status, review.decided_at) for review in found] == [
            ("decided", AT + 1),
            ("cancelled", AT + 2),
            ("open", None),
        ]

    async def test_each_review_that_ends_with_its_run_has_its_entry_and_no_other_has(
        self, records: OpenRecords
    ) -> None:
        """Only the records know in the transaction which reviews those are, so they add the entries (I12)."""
        await put(records, *(born(f"run_{name}") for name in "abc"), born("run_d", tenant="other"))
        for review, run, kind in (("1", "a", "gate"), ("2", "a", "once"), ("3", "b", "gate"), ("4", "a", "appeal")):
            await put(records, asks(f"rev_{review}", f"run_{run}", kind=kind))
        await put(records, asks("rev_5", "run_d", tenant="other"))
        await put(records, CloseReview(TENANT, "rev_2", "decided", b"{}", AT))
        stale = put(records, finish("run_b", epoch=7), cancels("run_b"), says("stale"))
        ends = [
            put(records, finish("run_a"), cancels("run_a"), says("ended")),
            put(records, finish("run_c"), cancels("run_c"), says("ended", id="run_c")),
            put(records, finish("run_d", tenant="other"), cancels("run_d", tenant="other")),
        ]
        fell, *_ = await asyncio.gather(stale, *ends, return_exceptions=True)
        assert isinstance(fell, Conflict)
        entries = [json.loads(one) for one in await all_entries(records)]
        assert [(one.get("said"), one.get("id"), one.get("run")) for one in entries if "said" not in one] == [
            (None, "rev_1", "run_a")
        ]
        assert sorted(one["said"] for one in entries if "said" in one) == ["ended", "ended"]
        (other,) = [json.loads(one) for one in await all_entries(records, "other")]
        assert (other["id"], other["kind"]) == ("rev_5", "review.cancelled")
        await put(records, finish("run_b"), cancels("run_b", AT + 1))
        assert [json.loads(one).get("id") for one in await all_entries(records)][-1] == "rev_3"

    async def test_a_verdict_and_the_end_of_the_run_handed_over_together_leave_one_answer(
        self, records: OpenRecords
    ) -> None:
        for number in range(10):
            run, review = f"run_{number}", f"rev_{number}"
            await put(records, born(run), asks(review, run))
            close, cancel = CloseReview(TENANT, review, "decided", b"{}", AT), cancels(run)
            if number % 2:
                first, second = put(records, close), put(records, finish(run), cancel)
                await first
            else:
                second, first = put(records, finish(run), cancel), put(records, close)
                assert await falls(first) == "close_review"
            await second
            found = await records.get_review(TENANT, review)
            assert found is not None
            assert found.status == ("decided" if number % 2 else "cancelled")

    async def test_reviews_whose_time_is_over_are_found(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, asks("rev_1", "run_a", expires_at=AT + 20), asks("rev_2", "run_a", expires_at=AT + 10))
        await put(records, asks("rev_3", "run_a"), asks("rev_4", "run_a", expires_at=AT + 5))
        await put(records, CloseReview(TENANT, "rev_4", "decided", b"{}", AT))
        assert [one.id for one in await records.list_expired_reviews(AT + 9, 10)] == []
        assert [one.id for one in await records.list_expired_reviews(AT + 20, 10)] == ["rev_2", "rev_1"]
        assert len(await records.list_expired_reviews(AT + 20, 1)) == 1

    async def test_an_open_review_is_looked_at_again_at_another_time(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), asks("rev_1", "run_a", expires_at=AT + 10))
        await put(records, ExtendReview(TENANT, "rev_1", AT + 20))
        assert [one.id for one in await records.list_expired_reviews(AT + 10, 10)] == []
        assert [one.id for one in await records.list_expired_reviews(AT + 20, 10)] == ["rev_1"]
        await put(records, CloseReview(TENANT, "rev_1", "decided", b"{}", AT))
        assert await falls(put(records, ExtendReview(TENANT, "rev_1", None))) == "extend_review"

    async def test_an_answer_is_superseded_once_its_run_has_ended_by_who_has_seen_the_last_one(
        self, records: OpenRecords
    ) -> None:
        await put(records, born("run_a"), asks("rev_1", "run_a"))
        first = SupersedeReview(TENANT, "rev_1", "run_a", 0, b'["first"]')
        assert await falls(put(records, first)) == "supersede_review"
        await put(records, CloseReview(TENANT, "rev_1", "decided", b'"yes"', AT))
        assert await falls(put(records, first)) == "supersede_review"
        await put(records, finish("run_a"))
        await put(records, first)
        assert await falls(put(records, first)) == "supersede_review"
        await put(records, SupersedeReview(TENANT, "rev_1", "run_a", 1, b'["first","second"]'))
        found = await records.get_review(TENANT, "rev_1")
        assert found is not None
        assert (found.answer, found.overrides, found.superseded) == (b'"yes"', b'["first","second"]', 2)

    async def test_a_review_of_what_was_done_outlives_the_end_of_its_run(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), asks("rev_1", "run_a", kind="audit"), asks("rev_2", "run_a"))
        await put(records, finish("run_a"), cancels("run_a", AT + 2))
        found = [await records.get_review(TENANT, f"rev_{number}") for number in (1, 2)]
        assert [review and review.status for review in found] == ["open", "cancelled"]

    async def test_reviews_are_listed_by_status_run_and_kind_from_either_end(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b"), born("run_c", tenant="other"))
        for number in range(6):
            kind = "incident" if number in (2, 5) else "gate"
            await put(records, asks(f"rev_{number}", "run_b" if number % 2 else "run_a", kind=kind))
        await put(records, asks("rev_x", "run_c", tenant="other"))
        await put(records, CloseReview(TENANT, "rev_2", "decided", b"{}", AT))

        async def paged(status: str | None, run: str | None, kind: str | None, newest: bool) -> list[int]:
            found, cursor = [], None
            while True:
                page, cursor = await records.list_reviews(TENANT, status, run, cursor, 2, kind=kind, newest=newest)
                assert len(page) <= 2
                found += [int(review.id.removeprefix("rev_")) for review in page]
                if cursor is None:
                    return found

        async def listed(status: str | None = None, run: str | None = None, kind: str | None = None) -> list[int]:
            found = await paged(status, run, kind, newest=False)
            assert await paged(status, run, kind, newest=True) == found[::-1]
            return found

        assert await listed() == [0, 1, 2, 3, 4, 5]
        assert await listed("open") == [0, 1, 3, 4, 5]
        assert await listed("decided") == [2]
        assert await listed(run="run_a") == [0, 2, 4]
        assert await listed("open", "run_a") == [0, 4]
        assert await listed(kind="incident") == [2, 5]
        assert await listed("open", kind="incident") == [5]
        assert await listed("decided", kind="incident") == [2]
        assert await listed(run="run_a", kind="incident") == [2]

    async def test_a_cursor_of_another_list_of_reviews_is_refused(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), asks("rev_0", "run_a"), asks("rev_1", "run_a"))
        _, cursor = await records.list_reviews(TENANT, "open", None, None, 1)
        assert cursor is not None
        for tenant, status in ((TENANT, None), ("other", "open")):
            try:
                await records.list_reviews(tenant, status, None, cursor, 1)
            except BadCursor:
                continue
            raise AssertionError("a foreign cursor was taken")
