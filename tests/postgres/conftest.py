"""Records of several nodes on one PostgreSQL."""

from tests.databases import database, nodes, postgres_server

__all__ = ["database", "nodes", "postgres_server"]
