"""Who may do what: keys, identity, authorization, the vault.

The room is empty for now, and that is safe only because nothing but loopback is listened on while no keys can be
configured. Where in a request the question is asked is left to `communication`.
"""
