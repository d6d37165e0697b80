"""The sender of a node: claims deliveries that are due, tries them, and says what came of each.

Every try is a task; there are at most `at_once` of them, and of one receiver at most `at_once_each`. A sender that is
killed leaves claims that end by themselves. A round is public, so that a test can drive the sender by its own clock.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from pilothouse.communication.deliveries.mail import Mail
from pilothouse.communication.deliveries.options import DeliveryOptions, ReceiverOptions
from pilothouse.communication.deliveries.queues import NatsQueue, RabbitQueue, RedisQueue, SqsQueue
from pilothouse.communication.deliveries.subscriber import Subscribers
from pilothouse.communication.deliveries.webhook import Webhooks
from pilothouse.domain.delivery import Answer, Delivery
from pilothouse.engine.delivery import claim_deliveries, settle_delivery
from pilothouse.engine.outbox import BELL
from pilothouse.engine.world import World
from pilothouse.errors import PilothouseError, RecordsUnavailable
from pilothouse.ports.meter import DeliveryMeter

POLL_EVERY = 1.0


class Courier(Protocol):
    """Takes deliveries to one kind of receiver."""

    async def send(self, delivery: Delivery, receiver: ReceiverOptions | None, now: int) -> Answer:
        """One try. Whatever goes wrong outside is an answer, not an exception."""
        ...

    async def close(self) -> None: ...


class Sender:
    """`start`, then `stop`. Stopping twice does nothing."""

    def __init__(
        self,
        world: World,
        options: DeliveryOptions,
        on_error: Callable[[str], None],
        meter: DeliveryMeter | None = None,
        couriers: dict[str, Courier] | None = None,
    ) -> None:
        self._world, self._options, self._on_error, self._meter = world, options, on_error, meter
        web = Webhooks(options)
        mail, within = Mail(options.within), options.within
        redis, rabbit, sqs = RedisQueue(within), RabbitQueue(within), SqsQueue(within)
        self.couriers: dict[str, Courier] = couriers or {
            "http": web,
            "https": web,
            "nats": NatsQueue(within),
            "redis": redis,
            "rediss": redis,
            "amqp": rabbit,
            "amqps": rabbit,
            "sqs": sqs,
            "sqs+http": sqs,
            "smtp": mail,
            "smtps": mail,
            "agent": Subscribers(world),
        }
        self._busy: Counter[str] = Counter()
        self._tries: set[asyncio.Task[None]] = set()
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unhook: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._unhook = self._world.bus.answer(BELL, lambda key: self._bell.set())
        self._task = asyncio.get_running_loop().create_task(self._work(), name="sender")

    async def stop(self, within: float = 0.0) -> None:
        """Tries that are under way may end within the time; what is left is due again when its claim is over."""
        self._unhook()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._tries and within > 0:
            await asyncio.wait(self._tries, timeout=within)
        for one in list(self._tries):
            one.cancel()
        await asyncio.gather(*self._tries, return_exceptions=True)
        for courier in set(self.couriers.values()):
            await courier.close()

    async def _work(self) -> None:
        while True:
            self._bell.clear()
            left = POLL_EVERY
            try:
                while await self.round():
                    pass
                due = await self._world.records.next_delivery()
                if due is not None and len(self._tries) < self._options.at_once:
                    left = min(left, (due - self._world.clock.now()) / 1e6)
            except RecordsUnavailable:
                pass  # the next round finds what is due
            except Exception as error:
                self._tell(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(left, 0.02)):
                    await self._bell.wait()

    async def round(self) -> bool:
        """Begins a try for each delivery that is due, as far as hands are free. True: there may be more."""
        options = self._options
        free = options.at_once - len(self._tries)
        if free <= 0:
            return False
        busy = tuple(name for name, count in self._busy.items() if count >= options.at_once_each)
        limit = min(free, options.at_once_each)
        claimed = await claim_deliveries(self._world, limit, busy, options.within)
        for one in claimed:
            self._busy[one.receiver] += 1
            task = asyncio.get_running_loop().create_task(self._try(one))
            self._tries.add(task)
            task.add_done_callback(self._tries.discard)
        return len(claimed) == limit

    async def settled(self) -> None:
        """Waits until no try is under way."""
        while self._tries:
            await asyncio.wait(set(self._tries))

    async def _try(self, delivery: Delivery) -> None:
        try:
            answer = await self._send(delivery)
            status = await settle_delivery(self._world, delivery, answer)
            if self._meter is not None and status is not None:
                self._meter.delivery_tried(answer.verdict, status)
            if status == "dead":
                self._on_error(f"the delivery {delivery.id} to {shown(delivery.receiver)} is dead: {answer.reason}")
        except PilothouseError:
            pass  # it could not be settled: it is due again when its claim is over
        except Exception as error:
            self._tell(error)
        finally:
            self._busy[delivery.receiver] -= 1
            if not self._busy[delivery.receiver]:
                del self._busy[delivery.receiver]
            self._bell.set()

    async def _send(self, delivery: Delivery) -> Answer:
        receiver = None
        url = delivery.receiver
        if ":" not in url:
            receiver = self._options.receivers.get(url)
            if receiver is None:
                return Answer("dead", f"there is no receiver {url} in the settings any more")
            url = receiver.url
        courier = self.couriers.get(url.partition(":")[0])
        if courier is None:
            return Answer("dead", "nobody here delivers to URLs of that kind")
        return await courier.send(delivery, receiver, self._world.clock.now())

    def _tell(self, error: Exception) -> None:
        context = {"message": "a delivery could not be tried", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def shown(receiver: str) -> str:
    """A receiver for people: of a URL what does not identify its caller."""
    return receiver.partition("?")[0] if "://" in receiver else receiver
