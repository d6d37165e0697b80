"""What the engine asks of the world: small Protocols, one for each conversation.

A Protocol is named for a role, has no bodies, no defaults and no capability flags. Adapters name their Protocol as
base class, so that the type checker reports at the class.
"""
