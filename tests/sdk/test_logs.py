"""Printed lines: whole, of the right run, bounded, and never under a slot that has a new owner."""

import asyncio
import contextlib
import sys
from contextvars import copy_context

from pilothouse.sdk.logs import LINES_LIMIT, NOWHERE, capture
from pilothouse.sdk.scope import attempt_here


class Place:
    def __init__(self, slot):
        self.slot, self.is_over = slot, False


@contextlib.contextmanager
def capturing():
    """The lines, and the messages they became. No fixture: pytest changes the streams between those and the test."""
    lines = capture(40)
    try:
        yield lines, []
    finally:
        lines.release()


async def told(lines, heard):
    lines.open(asyncio.get_running_loop(), heard.append)
    await asyncio.sleep(0)
    return [(one.slot, one.stream, one.text) for one in heard]


def printed_in(place, text, **options):
    def does():
        attempt_here.set(place)
        print(text, **options)  # noqa: T201

    copy_context().run(does)


async def test_lines_belong_to_the_run_in_which_they_were_printed():
    with capturing() as (lines, sent):
        printed_in(Place(1), "one")
        printed_in(Place(2), "two\nthree", file=sys.stderr)
        printed_in(None, "nobody")
        assert await told(lines, sent) == [
            (1, "stdout", "one"),
            (2, "stderr", "two"),
            (2, "stderr", "three"),
            (NOWHERE, "stdout", "nobody"),
        ]


async def test_pieces_of_two_runs_do_not_mix():
    with capturing() as (lines, sent):
        first, second = Place(1), Place(2)
        printed_in(first, "a", end="")
        printed_in(second, "x", end="")
        printed_in(first, "b")
        printed_in(second, "y")
        assert [text for _, _, text in await told(lines, sent)] == ["ab", "xy"]


async def test_threads_and_tasks_inherit_their_run():
    with capturing() as (lines, sent):
        attempt_here.set(Place(5))
        await asyncio.to_thread(print, "thread")
        await asyncio.create_task(asyncio.to_thread(print, "task"))
        attempt_here.set(None)
        assert await told(lines, sent) == [(5, "stdout", "thread"), (5, "stdout", "task")]


async def test_a_line_without_its_end_is_told_before_the_last_word():
    with capturing() as (lines, sent):
        place = Place(1)
        assert await told(lines, sent) == []
        printed_in(place, "no newline", end="")
        lines.flush_ended(place)
        assert [(one.slot, one.text) for one in sent] == [(1, "no newline")]


async def test_a_line_of_an_attempt_that_is_over_belongs_to_nobody():
    with capturing() as (lines, sent):
        place = Place(1)
        place.is_over = True
        printed_in(place, "late")
        assert await told(lines, sent) == [(NOWHERE, "stdout", "late")]


async def test_a_long_line_is_cut_with_a_mark():
    with capturing() as (lines, sent):
        printed_in(Place(1), "x" * 100)
        [(_, _, text)] = await told(lines, sent)
        assert text.startswith("x" * 40 + " ")
        assert len(text) < 60


async def test_more_lines_than_the_limit_are_counted_and_dropped():
    with capturing() as (lines, sent):
        for _ in range(LINES_LIMIT + 3):
            sys.stdout.write("x\n")
        heard = await told(lines, sent)
        assert len(heard) == LINES_LIMIT + 1
        assert heard[-1][2].startswith("3 more lines")


async def test_text_that_utf8_cannot_hold_is_escaped():
    with capturing() as (lines, sent):
        printed_in(Place(1), "a\udcffb")
        assert await told(lines, sent) == [(1, "stdout", "a\\udcffb")]


def test_what_was_not_sent_goes_to_the_old_streams(capsys):
    lines = capture(40)
    sys.stdout.write("half")
    sys.stderr.write("whole\n")
    lines.release()
    out, err = capsys.readouterr()
    assert (out, err) == ("half\n", "whole\n")
