"""What a host asks of the node before an agent calls outside, what the node answers, and what came of the call.

Plain values between compute, which speaks to hosts, and the engine, which decides for all hosts of the node. The engine
asks the world for nothing but prices here: which table they come from is the affair of whoever gives it.
"""

from typing import Literal, Protocol

from msgspec import Struct

from pilothouse.domain.price import Price, Tokens

CallKind = Literal["model", "tool", "step"]
CallOutcome = Literal["ok", "failed", "refused", "throttled", "dropped", "lost"]


class CallWish(Struct, frozen=True):
    """A call that somebody wants to make. Tokens are estimates. `is_step`: it becomes a step of its own. `raised`: by
    budget (`run.tokens`), how often a person has granted it once more to this run. `is_spare`: it is sent beside one
    that is under way if it may go at once, and not at all otherwise."""

    kind: CallKind
    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    is_step: bool = False
    raised: dict[str, int] = {}
    is_spare: bool = False


class CallResult(Struct, frozen=True):
    """`tokens` None: the provider did not say. `wait`: seconds it wants to be left alone. `is_billed`: it failed, but
    the provider had begun to answer."""

    outcome: CallOutcome
    tokens: Tokens | None = None
    cost: float = 0.0
    wait: float = 0.0
    is_billed: bool = False


class Denial(Struct, frozen=True):
    """`status`: what a provider would answer; 0: a budget is used up. `hit`: JSON of what stands in the way."""

    status: int
    code: str
    message: str
    retry_after: float = 0.0
    budget: str = ""
    asks: bool = False
    hit: bytes = b"{}"


class PriceList(Protocol):
    def price(self, provider: str, model: str) -> Price | None:
        """None: nobody knows."""
        ...
