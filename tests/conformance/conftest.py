"""The server on which the records of PostgreSQL prove themselves."""

from tests.databases import database, postgres_server

__all__ = ["database", "postgres_server"]
