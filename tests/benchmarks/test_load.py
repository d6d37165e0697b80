"""The bench's own client: what it counts is what came, however the bytes arrive, and refusals are no figures."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.load import LoadFailed, get, post, repeat, sample
from benchmarks.plan import Plan, Row, Sample, Section, quick_plan, spread

MARK = b"\nevent: output.delta\n"
BODY = b"id: 1\nevent: output.delta\ndata: 0\n\nid: 2\nevent: output.delta\ndata: 1\n\n"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def answers(answer: Answer) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def test_an_event_that_lies_across_two_arrivals_counts_once() -> None:
    streamed = 0

    async def drip(writer: asyncio.StreamWriter) -> None:
        nonlocal streamed
        streamed += 1
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(BODY))
        for at in range(0, len(BODY), 7):
            writer.write(BODY[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"\r\n0\r\n\r\n")

    async with await answers(drip) as server:
        port = server.sockets[0].getsockname()[1]
        counted, span = await sample(port, repeat(get("/")), 1, seconds=0.1, warm=0, marks=MARK)
    assert span >= 0.1
    assert counted.units // 2 in range(len(counted.spans), streamed + 1)
    assert len(counted.first_spans) >= len(counted.spans) > 0


async def test_refusals_are_counted_apart_where_they_may_come() -> None:
    answered = 0

    async def every_other(writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        answered += 1
        status = b"200 OK" if answered % 2 else b"500 Internal Server Error"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status)

    async with await answers(every_other) as server:
        port = server.sockets[0].getsockname()[1]
        counted, _ = await sample(port, repeat(get("/")), 1, seconds=0.2, warm=0, takes_refusals=True)
    assert counted.units == len(counted.spans)
    assert abs(counted.units - counted.refused) <= 1
    assert 0 < counted.units + counted.refused <= answered


async def test_an_answer_with_a_length_is_one_unit() -> None:
    answered = 0

    async def ok(writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        answered += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with await answers(ok) as server:
        port = server.sockets[0].getsockname()[1]
        counted, _ = await sample(port, repeat(get("/")), 3, seconds=0.05, warm=0)
    assert 0 < counted.units == len(counted.spans) <= answered


async def test_a_refusal_ends_the_sample_with_its_text() -> None:
    async def refuse(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull")

    async with await answers(refuse) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LoadFailed, match="503"):
            await sample(port, repeat(post("/", b"")), 1, seconds=0.02, warm=0)


def test_a_ratio_is_taken_inside_a_repeat() -> None:
    section = Section("W1", "", "bare", rows=[Row("bare", 1), Row("host", 1)])
    for bare, host in ((100.0, 50.0), (10.0, 8.0)):
        section.row("bare", 1).samples.append(Sample(per_second=bare))
        section.row("host", 1).samples.append(Sample(per_second=host))
    assert section.ratios(section.row("host", 1)) == [0.5, 0.8]
    assert spread([1200.0, 100.0, 3.14159]) == "100 (3.14-1,200)"


def test_a_plan_without_time_left_is_over() -> None:
    assert not quick_plan().is_over
    assert Plan(**{**vars(quick_plan()), "began_at": -1e9}).is_over
