"""The route on which the events of a run come over WebSocket, for callers that hold such a connection anyway.

What is wrong with a request is refused here as a problem, before the protocol changes. What follows is in
`websocket_stream`, whose library a node loads when the first reader comes.
"""

from msgspec import Struct

from pilothouse.communication.http.call import Call, tenant_of
from pilothouse.communication.http.header import read_position
from pilothouse.communication.http.run import After, check_run_id
from pilothouse.communication.http.signin import check_same_origin
from pilothouse.engine import event
from pilothouse.errors import Draining


class WebSocketQuery(Struct, forbid_unknown_fields=True):
    after: After = None


async def follow_run(call: Call, run: str, query: WebSocketQuery) -> None:
    """Follows a run until its terminal event."""
    from pilothouse.communication.http.websocket_stream import WebSocketStream, shake_hands

    check_run_id(run)
    check_same_origin(call)
    seen = call.headers.get(b"last-event-id")
    after = query.after or 0 if seen is None else read_position(seen)
    agreed = shake_hands(call)
    world = call.front.world
    if world.is_draining:
        raise Draining()
    follower = await event.follow_run(world, tenant_of(call), run, after)
    await WebSocketStream(call, follower, run, after, agreed).send()
