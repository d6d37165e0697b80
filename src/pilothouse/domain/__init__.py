"""PURE nouns and rules: values in, decisions out. No await, clock, random or I/O.

Time comes in as integer microseconds since 1970 UTC (`at`), randomness as values. Payloads are JSON bytes that
nothing here parses. Everything here can be tested with plain values and no fixture.
"""
