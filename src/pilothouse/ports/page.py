"""What the HTTP room asks of the console: the files of its pages, as they are to be sent.

The files are made by a build and are the same for the life of the process. Where they come from, and what a node
without them shows, is the console's business; headers and policies are those of `communication`.
"""

from typing import Protocol

from msgspec import Struct


class Page(Struct, frozen=True):
    """One file. `gzipped` None: it gets no smaller. `is_hashed`: its name changes when its bytes do, so that whoever
    has it may keep it for good."""

    body: bytes
    gzipped: bytes | None
    media: bytes
    tag: bytes
    """The entity tag, in quotes."""
    is_hashed: bool


class Pages(Protocol):
    def find(self, name: str) -> Page | None:
        """The file of the name, which may be anything a client sends; an unknown one is None."""
        ...
