"""Gateways and workers in processes of their own, on one PostgreSQL."""

import pytest

from tests.databases import database, postgres_server
from tests.faults.conftest import receiver, serve

__all__ = ["cluster", "database", "postgres_server", "receiver", "serve"]


@pytest.fixture
def cluster(serve, postgres_server, database):
    """Makes a node of this role, not started yet."""

    def make(role, **more):
        environment = {
            "PILOTHOUSE_RECORDS_URL": postgres_server.url(database, more.pop("port", None)),
            "PILOTHOUSE_SERVER_ROLE": role,
            **more.pop("environment", {}),
        }
        return serve(more.pop("settings", ""), environment=environment, **more)

    return make
