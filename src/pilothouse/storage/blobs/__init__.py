"""Long payloads of runs that have ended, outside of the database. The records say which blob counts."""
