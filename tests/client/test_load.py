"""The load of `pilothouse bench`: what is due is charged, whether a node keeps up or not."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from pilothouse.client import Unreachable
from pilothouse.client.load import LoadPlan, apply_load, arrivals

BODY = b'{"status":"succeeded","finished_at":"now"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@asynccontextmanager
async def node(answer):
    """Something that speaks as a node does, for what no node does: to stall, and to hang up."""

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.slow
async def test_a_stall_is_charged_to_all_that_were_due_meanwhile():
    loop = asyncio.get_running_loop()
    began_at = loop.time()

    async def answer(writer):
        if 0.2 < loop.time() - began_at < 0.7:
            await asyncio.sleep(began_at + 0.7 - loop.time())
        writer.write(ANSWER)

    async with node(answer) as url:
        report = await apply_load(LoadPlan(url=url, agent="a", callers=2, rate=200, seconds=1, warm=0))
    charged = sum(count for at_most, count in report.latency if at_most > 0.1)
    assert report.failures == {}
    assert report.done > 150
    assert charged > 50, "only two callers were in the stall, and some 80 requests were due in it"


@pytest.mark.slow
async def test_a_connection_that_is_closed_counts_as_a_failure_and_is_made_anew():
    asked = 0

    async def answer(writer):
        nonlocal asked
        asked += 1
        if asked % 3 == 0:
            writer.close()
        else:
            writer.write(ANSWER)

    async with node(answer) as url:
        report = await apply_load(LoadPlan(url=url, agent="a", callers=1, seconds=0.6, warm=0))
    assert report.failures["ConnectionResetError"] >= 1
    assert report.done >= 2


async def test_nobody_there_is_said_at_the_start():
    with pytest.raises(Unreachable, match="cannot be loaded"):
        await apply_load(LoadPlan(url="http://127.0.0.1:1", agent="a", callers=2, seconds=0.1))
    with pytest.raises(Unreachable, match="no address"):
        await apply_load(LoadPlan(url="ftp://x", agent="a"))


def test_arrivals_come_at_the_rate_and_the_same_ones_for_a_seed():
    found = list(arrivals(1000, 10, 5.0, 1))
    assert found == list(arrivals(1000, 10, 5.0, 1)) != list(arrivals(1000, 10, 5.0, 2))
    assert found == sorted(found)
    assert 9500 < len(found) < 10500
    assert 5.0 < found[0] < found[-1] < 15.0
