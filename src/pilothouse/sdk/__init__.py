"""What runs beside user code: decorators, the context, replay, and the host that drives attempts.

Needs msgspec and the standard library, nothing else, so that it is safe next to any agent framework. It proposes and
reports; the node decides and makes durable. See DESIGN.md.
"""
