"""Pages for people who operate agents.

They speak `wire` over the same routes as every other client and have no private endpoints, so that whatever a person
can do here a program can do too. The room is empty for now; runs, sessions and reviews are reached over HTTP and with
the command line.
"""
