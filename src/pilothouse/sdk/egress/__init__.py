"""The border: everything that agents call outside passes here, below their frameworks and clients.

Client libraries are patched when they are imported, never imported by us. See DESIGN.md of the room above.
"""
