"""A streamed answer on its way to the agent: every byte passes as it comes, and a copy stays for the journal.

A client may stop reading as soon as it has seen the last event, so the journal cannot wait for the end of the
connection: the piece that completes the last event is held back until the answer is durable. What comes after it is
nothing. A copy over the bound is given up, and the answer with it: it passes and is not kept.
"""

from pilothouse.domain.provider import Shape
from pilothouse.sdk.egress.exchange import is_sound_stream

ENDS: dict[Shape, tuple[bytes, ...]] = {
    "chat": (b"data: [DONE]", b"data:[DONE]"),
    "completions": (b"data: [DONE]", b"data:[DONE]"),
    "responses": (b'"response.completed"', b'"response.failed"', b'"response.incomplete"'),
    "messages": (b'"message_stop"',),
}
"""What the last event of a stream holds. The line that holds it must end before a client can have read it. A JSON text
in which a model quotes such a mark has backslashes before the quotes."""

OVERLAP = 32


class StreamCopy:
    """`limit`: bytes that are kept at most."""

    def __init__(self, shape: Shape, limit: int, content_type: str = "") -> None:
        self.content_type = content_type
        self._ends = ENDS.get(shape, ())
        self._limit = limit
        self._pieces: list[bytes] = []
        self._tail = b""
        self._has_mark = False
        self.size = 0
        self.is_whole = False
        """The last event is there."""

    def feed(self, piece: bytes) -> bool:
        """Takes a copy of a piece. True: with it, the answer is whole."""
        self.size += len(piece)
        if self.size <= self._limit:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        if not self.is_whole and self._ends:
            self.is_whole = self._ends_in(piece)
        return self.is_whole

    def _ends_in(self, piece: bytes) -> bool:
        if self._has_mark:
            return b"\n" in piece
        seen = self._tail + piece
        self._tail = seen[-OVERLAP:]
        for end in self._ends:
            at = seen.find(end)
            if at >= 0:
                self._has_mark = True
                return b"\n" in seen[at:]
        return False

    @property
    def is_kept(self) -> bool:
        return self.size <= self._limit

    @property
    def is_sound(self) -> bool:
        """Whether a stream that has ended was one of its kind. Its last event says so; where a shape or a server has
        none, what came is looked at."""
        return self.is_whole or not self.is_kept or is_sound_stream(self.body(), self.content_type)

    def body(self) -> bytes:
        return b"".join(self._pieces)
