"""Webhooks: a delivery as a signed POST after Standard Webhooks, and what the answer means.

The id is that of the delivery and the same on every try; the timestamp and with it the signatures are of the try.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pilothouse.communication.deliveries.options import AGENT, DeliveryOptions, ReceiverOptions
from pilothouse.communication.deliveries.post import Poster, Reply, Unreachable
from pilothouse.communication.deliveries.shape import shape
from pilothouse.domain.address import read_url
from pilothouse.domain.delivery import Answer, Delivery, judge
from pilothouse.domain.signature import sign


class Webhooks:
    """Sends to every receiver whose URL is http or https."""

    def __init__(self, options: DeliveryOptions, poster: Poster | None = None) -> None:
        self._keys = options.keys
        self._poster = poster or Poster(options.allowed, options.within)

    async def send(self, delivery: Delivery, receiver: ReceiverOptions | None, now: int) -> Answer:
        """`receiver` None: the URL of a single run. `now`: microseconds."""
        url = delivery.receiver if receiver is None else receiver.url
        keys = self._keys if receiver is None else receiver.keys
        body = delivery.body if receiver is None else shape(receiver.format, delivery)
        at = now // 1_000_000
        headers = {
            "content-type": "application/json",
            "user-agent": AGENT,
            "webhook-id": delivery.id,
            "webhook-timestamp": str(at),
        }
        if keys:
            headers["webhook-signature"] = sign(keys, delivery.id, at, body)
        if receiver is not None:
            headers |= {name.lower(): value for name, value in receiver.headers.items()}
        try:
            reply = await self._poster.post(read_url(url), body, headers)
        except ValueError as fault:
            return Answer("dead", f"the URL cannot be used: {fault}")
        except Unreachable as fault:
            return Answer("again", str(fault))
        return judge(reply.status, read_pause(reply, now))

    async def close(self) -> None:
        """Nothing is kept open."""


def read_pause(reply: Reply, now: int) -> float:
    """Seconds of Retry-After, which may also be a date. 0: nothing that can be understood."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.fromtimestamp(now / 1e6, UTC)).total_seconds())
