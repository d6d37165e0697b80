"""What a model call costs: prices a million tokens, and the arithmetic over what a provider says it counted.

A price that is not known is no price: its calls are counted and cost nothing here, because a guess in a bill is worse
than a gap that can be seen. Providers charge all tokens of a call at the rate of the tier its input falls into
("cliff" tiers), so a tier replaces the rates, it does not add to them.
"""

from msgspec import Struct

MILLION = 1_000_000


class Tokens(Struct, array_like=True, frozen=True):
    """What one call used, in tokens. `input` holds those read from and written to a provider's cache as well."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


class Rates(Struct, array_like=True, frozen=True):
    """USD a million tokens. None: as `input`."""

    input: float = 0.0
    output: float = 0.0
    cache_read: float | None = None
    cache_write: float | None = None


class Price(Struct, array_like=True, frozen=True):
    """`above`: rates that hold for the whole call once its input is over so many tokens, in ascending order. `call`:
    USD each call. `source`: where it comes from and of what date, for people."""

    rates: Rates
    above: tuple[tuple[int, Rates], ...] = ()
    call: float = 0.0
    source: str = ""


def cost_of(price: Price | None, tokens: Tokens) -> float:
    """USD of a call; 0.0 when there is no price."""
    if price is None:
        return 0.0
    rates = price.rates
    for over, dearer in price.above:
        if tokens.input > over:
            rates = dearer
    plain = max(0, tokens.input - tokens.cache_read - tokens.cache_write)
    read = rates.input if rates.cache_read is None else rates.cache_read
    write = rates.input if rates.cache_write is None else rates.cache_write
    paid = plain * rates.input + tokens.output * rates.output + tokens.cache_read * read + tokens.cache_write * write
    return paid / MILLION + price.call
