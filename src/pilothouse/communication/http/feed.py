"""The feed as server-sent events: which runs have changed, so that a list of them can be kept true without polling.

It is a hint. Its messages have no ids and are not kept: who connects (again) reads what it shows, and goes on with what
is told from then on. A drain ends it with `event: reconnect`, like any stream.
"""

import asyncio

import msgspec

from pilothouse.communication.http.call import Call, tenant_of
from pilothouse.communication.http.deadline import POLL, EarlyEnd, Within
from pilothouse.communication.http.stream import EVENT_STREAM
from pilothouse.engine.feed import Feed
from pilothouse.errors import Draining, Overloaded
from pilothouse.wire.event import HEARTBEAT, feed_frame, reconnect_frame

SCHEMA = {
    "type": "object",
    "description": "Without id. `data` of `changed` is `{runs, has_more, reviews}`: the ids of runs that began, "
    "waited or ended; whether others did, too; whether a review was asked for or closed.",
    "properties": {
        "event": {"enum": ["listening", "changed", "reconnect"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
LISTENING = b"event: listening\ndata: {}\n\n"
_encode = msgspec.json.Encoder().encode


async def follow_feed(call: Call) -> None:
    """Hints: `listening` once, then `changed` with the ids of runs that began, waited or ended."""
    front = call.front
    if front.world.is_draining:
        raise Draining()
    if front.streams >= front.options.streams:
        raise Overloaded()
    feed = Feed(front.world, tenant_of(call))
    front.streams += 1
    front.meter.stream_opened()
    call.exchange.when_gone(lambda: _leave(call))
    try:
        call.begin(200, EVENT_STREAM, [(b"x-accel-buffering", b"no")])
        await _send(call, LISTENING)
        while not _is_over(call):
            news = None
            with EarlyEnd(call.patience, POLL) as taking:
                news = await feed.take(front.options.heartbeat_every)
            if not taking.was_told:
                await _send(call, HEARTBEAT if news is None else feed_frame(_encode(news)))
        call.exchange.when_gone(None)
        if not call.exchange.is_gone:
            await _send(call, reconnect_frame(Draining().hint, round(front.options.reconnect_after * 1000)))
            call.exchange.write(b"", is_last=True)
    except TimeoutError:
        return  # the answer stays incomplete, which makes the server close the connection
    finally:
        front.streams -= 1
        front.meter.stream_closed()
        feed.close()


def _is_over(call: Call) -> bool:
    return call.exchange.is_gone or call.front.world.is_draining


def _leave(call: Call) -> None:
    if call.patience.reason == POLL:
        call.patience.tell()


async def _send(call: Call, chunk: bytes) -> None:
    if call.exchange.is_paused:
        with Within(call.patience, asyncio.get_running_loop().time() + call.front.options.write_within):
            await call.exchange.ready()
    call.exchange.write(chunk)
