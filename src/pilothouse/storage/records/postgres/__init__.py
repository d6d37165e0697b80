"""The records on PostgreSQL: many nodes, one database, one writing lane for each node.

`records` is the way in. What SQL both databases understand is written once, in `../sql`; `dialect` turns it into the
words of PostgreSQL.
"""
