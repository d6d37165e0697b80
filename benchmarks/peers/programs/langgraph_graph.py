"""The echo agent as a graph, for `langgraph dev`."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    message: str
    answer: str


async def echo(state: State) -> State:
    return {"answer": state["message"]}


graph = StateGraph(State).add_node("echo", echo).add_edge(START, "echo").add_edge("echo", END).compile()
