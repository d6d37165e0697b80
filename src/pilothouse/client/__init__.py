"""A typed client of a node: one class, the values it gives, the errors it raises."""

from pilothouse.client.node import Client
from pilothouse.client.refusal import ApiError, Unreachable
from pilothouse.client.shape import Agent, Event, Review, Run, Session, Step, Turn
from pilothouse.client.stream import EventStream

__all__ = [
    "Agent",
    "ApiError",
    "Client",
    "Event",
    "EventStream",
    "Review",
    "Run",
    "Session",
    "Step",
    "Turn",
    "Unreachable",
]
