"""Deliveries to agents of this deployment: an event that a run published starts a run of each agent that listens.

It goes the way of all deliveries, so it is tried again while there is no room, and what does not fit the agent is dead,
visible, and can be sent once more when that is mended.
"""

from pilothouse.communication.deliveries.options import ReceiverOptions
from pilothouse.domain.delivery import Answer, Delivery
from pilothouse.engine.subscriber import start_subscriber
from pilothouse.engine.world import World


class Subscribers:
    def __init__(self, world: World) -> None:
        self._world = world

    async def send(self, delivery: Delivery, receiver: ReceiverOptions | None, now: int) -> Answer:
        return await start_subscriber(self._world, delivery)

    async def close(self) -> None: ...
