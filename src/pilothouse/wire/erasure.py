"""What an erasure has removed, as JSON.

Numbers only: who was erased is said by whoever asked, and kept nowhere.
"""

from msgspec import Struct


class ErasedView(Struct):
    """`runs` are those of the subject, also in sessions; `examples` were withdrawn from every dataset version too."""

    runs: int
    sessions: int
    examples: int
