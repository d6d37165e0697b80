"""Waiting for one future for a time, at half the price of `asyncio.wait`, which is made for many.

Nobody who waits here can end what is waited for: others may wait for it too.
"""

import asyncio
from typing import Any


async def wait_done(future: "asyncio.Future[Any]", within: float | None) -> bool:
    """Whether the future is done after at most `within` seconds (None: however long it takes). It is never cancelled
    from here, and what it came to is left to the caller."""
    if future.done():
        return True
    loop = future.get_loop()
    bell = loop.create_future()

    def ring(_: object = None) -> None:
        if not bell.done():
            bell.set_result(None)

    timer = None if within is None else loop.call_later(within, ring)
    future.add_done_callback(ring)
    try:
        await bell
    finally:
        future.remove_done_callback(ring)
        if timer is not None:
            timer.cancel()
    return future.done()
