"""The records: runs, journals, events, sessions and reviews, in one database that everybody writes through one writer.

`sqlite` is the way in; SQL is source and lives in `sql/`, migrations in `migrations/`, the resulting layout in
`schema.sql`.
"""
