"""Where things are kept. The records are the durable truth; whatever else is kept here may be lost.

See DESIGN.md in this folder.
"""
