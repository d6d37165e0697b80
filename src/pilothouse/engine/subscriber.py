"""What becomes of an event at an agent that listens: a run whose id follows from the event and the agent.

So a second delivery of the same event finds the run of the first, and nothing is started twice.
"""

from msgspec import json

from pilothouse.domain.delivery import Answer, Delivery
from pilothouse.domain.topic import SUBSCRIBER, Published, subscriber_run_id
from pilothouse.engine.encoding import encode
from pilothouse.engine.run import StartRun, start_run
from pilothouse.engine.source import MENDED, PASSING
from pilothouse.engine.world import World
from pilothouse.errors import InvalidInput, PilothouseError, RunExists

_decode = json.Decoder(Published).decode


async def start_subscriber(world: World, delivery: Delivery) -> Answer:
    """Starts the run of the agent that the event goes to, or finds it."""
    event = _decode(delivery.body)
    agent = delivery.receiver.removeprefix(SUBSCRIBER)
    command = StartRun(
        tenant=delivery.tenant,
        agent=agent,
        input=bytes(event.payload),
        subject=event.subject,
        metadata=encode({"topic": event.topic, "event": event.event, "publisher": event.publisher, "hops": event.hops}),
        run_id=subscriber_run_id(delivery.tenant, event.event, agent),
        wants="later",
        traceparent=event.traceparent,
        by=f"topic:{event.topic}",
        started_by=event.started_by or None,
    )
    try:
        await start_run(world, command)
    except RunExists:
        return Answer("delivered")
    except InvalidInput as fault:
        told = "; ".join(f"{one['path']}: {one['message']}" for one in fault.faults[:5])
        return Answer("dead", f"the event does not fit the input of {agent}: {told or fault.message}")
    except PilothouseError as fault:
        passes = fault.code in MENDED or isinstance(fault, PASSING)
        return Answer("again" if passes else "dead", f"{fault.code}: {fault.message}")
    return Answer("delivered")
