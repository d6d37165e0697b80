"""What models cost: prices of the settings, then those of the `genai-prices` table when it is installed.

The table comes with the package and has a date; it is imported when the first price is asked for, on the node only. Its
prices are turned into our own, so that hosts compute a cost without it. A model that it does not know has no price.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from pilothouse.domain.price import Price, Rates
from pilothouse.ports.outgoing import PriceList

NAMES = {"bedrock": "aws"}
"""Providers that the table calls otherwise."""


class Prices(PriceList):
    """`own` by provider and model."""

    def __init__(self, own: Mapping[str, Mapping[str, Price]], *, has_table: bool) -> None:
        self._own = own
        self._has_table = has_table

    def price(self, provider: str, model: str) -> Price | None:
        own = self._own.get(provider, {}).get(model)
        return own if own is not None or not self._has_table else self._listed(provider, model)

    def _listed(self, provider: str, model: str) -> Price | None:
        try:
            table = importlib.import_module("genai_prices")
        except ImportError:
            self._has_table = False
            return None
        try:
            found = table.calc_price(
                table.Usage(input_tokens=1, output_tokens=1), model, provider_id=NAMES.get(provider, provider)
            )
        except (LookupError, ValueError):
            return None
        from importlib.metadata import version

        checked = getattr(found.model, "prices_checked", None)
        return _translated(
            found.model_price, f"genai-prices {version('genai-prices')}" + (f", checked {checked}" if checked else "")
        )


def _translated(price: Any, source: str) -> Price | None:
    """Rates of the whole call, for each tier in which any of its kinds changes."""
    kinds = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
    given = [getattr(price, kind, None) for kind in kinds]
    if given[0] is None and given[1] is None:
        return None
    starts = sorted({tier.start for one in given for tier in getattr(one, "tiers", ())})
    rates = [_rates([_at(one, start) for one in given]) for start in (0, *starts)]
    thousand = getattr(price, "requests_kcount", None)
    call = float(thousand) / 1000 if thousand is not None else 0.0
    return Price(rates[0], tuple(zip(starts, rates[1:], strict=True)), call, source)


def _at(price: Any, start: int) -> float | None:
    """The rate of one kind of token once the input is over `start`."""
    if price is None:
        return None
    tiers = getattr(price, "tiers", None)
    if tiers is None:
        return float(price)
    found = price.base
    for tier in tiers:
        if tier.start <= start:
            found = tier.price
    return float(found)


def _rates(values: list[float | None]) -> Rates:
    given, wanted, read, write = values
    return Rates(given or 0.0, wanted or 0.0, read, write)
