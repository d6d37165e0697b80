"""The route that an autoscaler asks: how much work there is, and how many workers it wants.

It reads what is counted anyway, so that a scaler may ask as often as it likes.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call
from pilothouse.engine.scale import read_scale
from pilothouse.errors import AgentNotFound
from pilothouse.wire.scale import scale_view


class ScaleQuery(Struct, forbid_unknown_fields=True):
    agent: Annotated[str, Meta(max_length=256)] | None = None


async def get_scale(call: Call, query: ScaleQuery) -> None:
    """What waits and runs on all nodes of these records, counted within the last second; of all agents or one."""
    world = call.front.world
    if query.agent is not None and world.worker.find(query.agent) is None:
        raise AgentNotFound(agent=query.agent)
    await call.show(scale_view(read_scale(world, query.agent)))
