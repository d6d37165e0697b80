"""The metrics of a node: what it counts (`tally`), and the page of it (`scrape`).

The page and the client library that writes it are imported with the first scrape: who is never asked need not hold
them.
"""

from typing import TYPE_CHECKING

from pilothouse.observability.tally import Tally
from pilothouse.ports.meter import MetricsPage

if TYPE_CHECKING:
    from pilothouse.observability.scrape import Scrape


class Metrics(Tally, MetricsPage):
    """`render` gives the page that Prometheus reads."""

    def __init__(self) -> None:
        super().__init__()
        self._scrape: Scrape | None = None

    def render(self) -> bytes:
        if self._scrape is None:
            from pilothouse.observability.scrape import Scrape

            self._scrape = Scrape(self)
        return self._scrape.render()
