"""How the world talks to Pilothouse: HTTP, and the bus between those who write and those who watch.

Everything here is translation: a request becomes one call of a verb, what the verb returns becomes `wire`. No rule
about runs lives here, and nothing here is the truth about anything.
"""
