"""Pages for people who operate agents.

They speak `wire` over the same routes as every other client and have no private endpoints, so that whatever a person
can do here a program can do too. The sources are in `console/` at the top of the repository; this room has what was
built from them.
"""
