"""Graphs as users of LangGraph write them; nothing but the time of a run is of Pilothouse."""

import asyncio
import operator
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypedDict

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.channels.delta import DeltaChannel
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from openai import OpenAI
from outside import tell, tell_of

from pilothouse import now

MODEL = "scripted"


def model() -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, max_retries=0, stream_usage=True)


@tool
async def look(what: str) -> str:
    """Look for something."""
    await asyncio.to_thread(tell, f"look {what}")
    return f"{what} is here"


@tool
def count(what: str) -> int:
    """Count letters."""
    tell(f"count {what}")
    return len(what)


@tool
async def refund(order: str, cents: int) -> str:
    """Give money back."""
    await asyncio.to_thread(tell, f"refund {order} {cents}")
    return f"refunded {cents}"


@tool
async def confirm(order: str) -> str:
    """Ask before something is done."""
    answer = interrupt({"question": f"Really {order}?", "order": order})
    await asyncio.to_thread(tell, f"confirm {order}")
    return f"confirmed: {answer}"


@tool
def broken() -> str:
    """Fails."""
    tell("broken")
    raise LookupError("the shelf is empty")


support = create_agent(model(), [look, count, confirm, broken], system_prompt="Be brief.")
gated = create_agent(
    model(), [look, refund], middleware=[HumanInTheLoopMiddleware(interrupt_on={"refund": True, "look": False})]
)


class Way(TypedDict):
    way: str
    said: str


def run_of(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def in_sync(state: Way, config: RunnableConfig) -> dict[str, str]:
    said = ""
    if state["way"] == "invoke":
        said = model().invoke("say it").text
    elif state["way"] == "stream":
        said = "".join(chunk.text for chunk in model().stream("say it"))
    tell_of(run_of(config), "after")
    return {"said": said}


async def in_async(state: Way, config: RunnableConfig) -> dict[str, str]:
    said = ""
    if state["way"] == "ainvoke":
        said = (await model().ainvoke("say it")).text
    elif state["way"] == "astream":
        said = "".join([chunk.text async for chunk in model().astream("say it")])
    elif state["way"] == "blocking":
        said = model().invoke("say it").text
    await asyncio.to_thread(tell_of, run_of(config), "after")
    return {"said": said}


ways_of = StateGraph(Way)
ways_of.add_node("in_sync", in_sync)
ways_of.add_node("in_async", in_async)
ways_of.add_conditional_edges(
    START, lambda state: "in_sync" if state["way"] in ("invoke", "stream") else "in_async", ["in_sync", "in_async"]
)
ways = ways_of.compile()


@dataclass
class Order:
    number: str
    cents: int = 0


class Book(TypedDict):
    order: Order
    log: Annotated[list[str], operator.add]


def first(state: Book, config: RunnableConfig) -> dict[str, list[str]]:
    tell_of(run_of(config), "first")
    return {"log": [f"first {state['order'].number}"]}


def left(state: Book, config: RunnableConfig) -> dict[str, list[str]]:
    tell_of(run_of(config), "left")
    return {"log": ["left"]}


def right(state: Book, config: RunnableConfig) -> dict[str, list[str]]:
    tell_of(run_of(config), "right")
    return {"log": ["right"]}


def inner(state: Book, config: RunnableConfig) -> dict[str, list[str]]:
    tell_of(run_of(config), "inner")
    return {"log": ["inner"]}


def last(state: Book, config: RunnableConfig) -> dict[str, list[str]]:
    tell_of(run_of(config), "last")
    return {"log": ["last"]}


sub_of = StateGraph(Book)
sub_of.add_node("inner", lambda state, config: {"log": inner(state, config)["log"]})
sub_of.add_node("last", lambda state, config: {"log": last(state, config)["log"]})
sub_of.add_edge(START, "inner")
sub_of.add_edge("inner", "last")


async def below(state: Book, config: RunnableConfig) -> dict[str, list[str]]:
    done = await sub_of.compile().ainvoke({"order": state["order"], "log": []}, config)
    return {"log": done["log"]}


book_of = StateGraph(Book)
book_of.add_node("first", first)
book_of.add_node("left", left)
book_of.add_node("right", right)
book_of.add_node("below", below)
book_of.add_edge(START, "first")
book_of.add_edge("first", "left")
book_of.add_edge("first", "right")
book_of.add_edge(["left", "right"], "below")
book_of.add_edge("below", END)
book = book_of.compile()


@task
def price(order: str) -> int:
    return len(order)


@entrypoint()
async def flow(order: str, *, previous: int | None = None) -> entrypoint.final[dict, int]:
    cents = await price(order)
    answer = interrupt(f"Pay {cents}?")
    more = interrupt("And then?")
    total = (previous or 0) + cents
    return entrypoint.final(value={"cents": cents, "answers": [answer, more], "total": total}, save=total)


stopping_of = StateGraph(Book)
stopping_of.add_node("first", first)
stopping_of.add_node("left", left)
stopping_of.add_node("last", last)
stopping_of.add_edge(START, "first")
stopping_of.add_edge("first", "left")
stopping_of.add_edge("left", "last")
stopping = stopping_of.compile(interrupt_before=["left"], interrupt_after=["left"])


def ask_raw(state: Book, config: RunnableConfig) -> dict[str, list[str]]:
    """A node with a client of its own, which knows of no framework."""
    if state["log"]:
        tell_of(run_of(config), "between")
    said = OpenAI(max_retries=0).chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "next"}])
    return {"log": [str(said.choices[0].message.content)]}


raw_of = StateGraph(Book)
raw_of.add_node("one", ask_raw)
raw_of.add_node("two", ask_raw)
raw_of.add_edge(START, "one")
raw_of.add_edge("one", "two")
raw = raw_of.compile()


def ask_when(state: Book, config: RunnableConfig) -> dict[str, list[str]]:
    """A prompt with the time in it: that of the run, or that of the clock."""
    at = now() if state["order"].number == "run" else time.time_ns()
    said = model().invoke(f"It is {at}.")
    tell_of(run_of(config), "asked")
    return {"log": [str(said.content)]}


timed_of = StateGraph(Book)
timed_of.add_node("ask", ask_when)
timed_of.add_edge(START, "ask")
timed = timed_of.compile()


def add_all(before: list[str], new: Sequence[list[str]]) -> list[str]:
    return before + [one for some in new for one in some]


class Diary(TypedDict):
    lines: Annotated[list[str], DeltaChannel(add_all)]


diary_of = StateGraph(Diary)
diary_of.add_node("reread", lambda state: {"lines": [f"{len(state['lines'])} lines"]})
diary_of.add_edge(START, "reread")
diary = diary_of.compile()
