"""The routes about this node: how its worker stands, and what it was told.

Both say what an operator would find out at the machine, and nothing about what runs are for.
"""

from pilothouse.communication.http.call import Call
from pilothouse.wire.instant import stamp
from pilothouse.wire.node import HostView, NodeView, SettingPage


async def get_node(call: Call) -> None:
    from importlib.metadata import version

    front = call.front
    hosts = [
        HostView(
            name=one.name,
            is_up=one.is_up,
            agents=one.agents,
            taken=one.taken,
            free=one.free,
            memory_bytes=one.memory_bytes,
        )
        for one in front.world.worker.host_facts()
    ]
    await call.show(
        NodeView(
            owner=front.world.worker.owner,
            version=version("pilothouse"),
            started_at=stamp(front.started_at),
            is_draining=front.world.is_draining,
            attempts=len(front.world.attempts),
            hosts=hosts,
        )
    )


async def list_settings(call: Call) -> None:
    """All settings with their values and who set them; secrets are masked."""
    await call.show(SettingPage(list(call.front.settings), None))
