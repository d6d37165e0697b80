"""Messages on FastStream over NATS JetStream: `python faststream_messages.py URL MANY SINGLES` prints what it did.

It finds MANY messages on the subject `notes.new`, takes them in batches by a durable pull consumer, and acknowledges
each after its function, as FastStream does by itself. Nothing of a run is kept.
"""

import asyncio
import json
import sys
import time

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub

BATCH = 256


async def main(url: str, many: int, singles: int) -> None:
    broker, seen = NatsBroker(url), []

    @broker.subscriber(
        "notes.new", stream=JStream("notes", subjects=["notes.new"], declare=False), durable="peer",
        pull_sub=PullSub(batch_size=BATCH), ack_policy=AckPolicy.ACK, max_workers=BATCH,
    )  # fmt: skip
    async def note(sent: dict) -> None:
        seen.append(time.time() - sent["at"])

    await broker.connect()
    began = time.monotonic()
    await broker.start()
    while len(seen) < many:
        await asyncio.sleep(0.001)
    rate, spans = many / (time.monotonic() - began), []
    for _ in range(singles):
        seen.clear()
        await broker.publish({"at": time.time()}, "notes.new")
        while not seen:
            await asyncio.sleep(0.001)
        spans.append(seen[0])
    await broker.stop()
    print(json.dumps({"per_second": rate, "spans": spans}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
