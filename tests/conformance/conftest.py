"""The server on which the records of PostgreSQL prove themselves."""

from tests.databases import database, pool, postgres_server

__all__ = ["database", "pool", "postgres_server"]
