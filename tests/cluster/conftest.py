"""Gateways and workers in processes of their own, on one PostgreSQL, and with a bus where a test asks for one."""

import pytest

from pilothouse.testing.brokers import NatsServer, ValkeyServer
from tests.databases import database, postgres_server
from tests.faults.conftest import receiver, serve

__all__ = ["bus", "cluster", "database", "postgres_server", "receiver", "serve"]


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


@pytest.fixture
def bus(request):
    """(settings of the bus that `parametrize` names, its server). With "postgres" there is none but the records."""
    if request.param == "postgres":
        yield {}, None
        return
    server = ValkeyServer() if request.param == "valkey" else NatsServer()
    server.start()
    try:
        yield {"PILOTHOUSE_BUS_URL": server.url}, server
    finally:
        server.remove()
