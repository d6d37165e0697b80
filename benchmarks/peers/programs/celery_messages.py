"""Messages on Celery over Valkey: `python celery_messages.py URL MANY SINGLES` prints what it did.

MANY tasks are queued before the worker starts. The worker runs them one after the other in its own thread (`solo`),
which is the fastest pool for a function that does nothing, and acknowledges each late, after its function.
"""

import json
import sys
import time

from celery import Celery
from celery.contrib.testing.worker import start_worker

app = Celery("celery_messages")
seen: list[float] = []


@app.task(ignore_result=True, acks_late=True)
def note(at: float) -> None:
    seen.append(time.time() - at)


def wait(many: int) -> None:
    while len(seen) < many:
        time.sleep(0.001)


def main(url: str, many: int, singles: int) -> None:
    app.conf.update(broker_url=url, worker_prefetch_multiplier=128, worker_hijack_root_logger=False)
    with app.producer_or_acquire() as producer:
        for _ in range(many):
            note.apply_async((time.time(),), producer=producer)
    began = time.monotonic()
    with start_worker(app, pool="solo", concurrency=1, perform_ping_check=False, loglevel="ERROR"):
        wait(many)
        rate, spans = many / (time.monotonic() - began), []
        for _ in range(singles):
            seen.clear()
            note.delay(time.time())
            wait(1)
            spans.append(seen[0])
    print(json.dumps({"per_second": rate, "spans": spans}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
