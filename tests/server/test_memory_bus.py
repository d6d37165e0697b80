"""The bus in memory: those who listen cannot hurt each other, nor the one who speaks."""

import asyncio
from typing import Any

from pilothouse.communication.bus.memory import MemoryBus
from pilothouse.domain.event import Segment


def segment(run: str = "run_1") -> Segment:
    return Segment(run, 1, 1, 0, b"output.delta {}\n")


async def test_a_watcher_hears_its_run_of_its_tenant_and_no_other():
    bus, heard = MemoryBus(), list[Any]()
    bus.watch("a", "run_1", heard.append)
    bus.publish("a", segment())
    bus.publish("a", segment("run_2"))
    bus.publish("b", segment())
    assert heard == [segment()]


async def test_leaving_twice_takes_out_one_place_only():
    bus, heard = MemoryBus(), list[Any]()
    first = bus.watch("a", "run_1", heard.append)
    bus.watch("a", "run_1", heard.append)
    first()
    first()
    bus.publish("a", segment())
    assert len(heard) == 1


async def test_what_a_watcher_raises_is_told_to_the_loop_and_hurts_nobody():
    bus, heard, told = MemoryBus(), list[Any](), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))

    def broken(one: Segment) -> None:
        raise ValueError("broken")

    bus.watch("a", "run_1", broken)
    bus.watch("a", "run_1", heard.append)
    bus.publish("a", segment())
    assert heard == [segment()]
    assert [str(error) for error in told] == ["broken"]


async def test_watchers_may_come_and_go_while_they_are_told():
    bus, heard = MemoryBus(), list[Any]()

    def leave_and_call_another(one: Segment) -> None:
        stop()
        bus.watch("a", "run_1", heard.append)

    stop = bus.watch("a", "run_1", leave_and_call_another)
    bus.publish("a", segment())
    bus.publish("a", segment())
    assert len(heard) == 1


async def test_a_bell_is_heard_by_all_who_answer_it_until_they_leave():
    bus, heard = MemoryBus(), list[Any]()
    stop = bus.answer("work", lambda key: heard.append(("one", key)))
    bus.answer("work", lambda key: heard.append(("two", key)))
    bus.answer("timer", lambda key: heard.append(("timer", key)))
    bus.ring("work", "echo")
    stop()
    stop()
    bus.ring("work")
    bus.ring("nobody")
    assert heard == [("one", "echo"), ("two", "echo"), ("two", "")]


async def test_nothing_is_kept_of_those_who_left():
    bus = MemoryBus()
    for number in range(100):
        bus.watch("a", f"run_{number}", print)()
        bus.answer(f"bell{number}", print)()
    assert not bus._watchers
    assert not bus._ringers
