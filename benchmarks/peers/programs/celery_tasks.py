"""Tasks on Celery over Valkey, submit to done: `python celery_tasks.py URL CALLERS SECONDS` prints tasks a second.

The broker keeps what it has in memory: nothing is durable. The worker is a child of this program.
"""

import json
import subprocess
import sys
import threading
import time

from celery import Celery

app = Celery("celery_tasks")


@app.task
def job(message: str) -> str:
    return message


def main(url: str, callers: int, seconds: float) -> None:
    app.conf.update(broker_url=url, result_backend=url)
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_tasks", "-b", url, "--result-backend", url, "worker",
         "--concurrency", "1", "--prefetch-multiplier", "128", "--without-gossip", "--without-mingle",
         "--without-heartbeat", "-l", "ERROR"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        job.delay("warm").get(timeout=30)
        counts, ends_at, began_at = [0] * callers, time.monotonic() + seconds, time.monotonic()

        def caller(number: int) -> None:
            while time.monotonic() < ends_at:
                job.delay("Do it").get(timeout=30)
                counts[number] += 1

        threads = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        print(json.dumps({"per_second": sum(counts) / (time.monotonic() - began_at)}), flush=True)
    finally:
        worker.terminate()
        worker.wait(20)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
