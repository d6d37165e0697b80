"""What a run used: tokens, calls and money, counted where they were used so that replays sum right.

Usage that is recorded inside a step travels with the step's row and counts once however often the run is replayed;
usage outside of a step counts for the attempt that recorded it.
"""

import msgspec
from msgspec import Struct


class Usage(Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    cost_usd: float = 0.0

    def add(self, other: "Usage") -> None:
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.model_calls += other.model_calls
        self.tool_calls += other.tool_calls
        self.cost_usd += other.cost_usd

    def encoded(self) -> bytes | None:
        """JSON, or None when nothing was used."""
        return None if self == NONE else _encode(self)


NONE = Usage()
_encode = msgspec.json.Encoder().encode
read_usage = msgspec.json.Decoder(Usage).decode
