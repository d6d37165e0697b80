"""The same receiver and nodes as the fault cases have."""

from tests.faults.conftest import receiver, serve

__all__ = ["receiver", "serve"]
