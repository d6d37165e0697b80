"""Signed links to reviews: whoever is told of a question by webhook or mail gets an address that opens that one.

A link names one review of one tenant until an instant, under a key that all nodes of the deployment share; it is made
as the delivery is, and stands in no event. It is no right to decide: that takes a key of one's own, as ever.
"""

from pilothouse.domain.principal import Principal
from pilothouse.domain.signature import LinkedReview, read_link, sign_link
from pilothouse.engine.world import World
from pilothouse.errors import LinkRefused

PATH = "v1/review-links/"
NOBODY = Principal("nobody", "service", "", frozenset())
"""Who has shown a link and nothing else."""


def make_link(world: World, tenant: str, review: str) -> str | None:
    """None: this deployment makes no links."""
    links = world.links
    if links is None:
        return None
    until = int(world.clock.now() / 1e6 + links.seconds)
    return f"{links.url}{PATH}{sign_link(links.keys[0], LinkedReview(tenant, review, until))}"


def check_link(world: World, text: str) -> LinkedReview:
    """What the link names. Raises `LinkRefused`."""
    if world.links is None:
        raise LinkRefused(reason="this node makes no links to reviews")
    found = read_link(world.links.keys, text, world.clock.now() / 1e6)
    if isinstance(found, str):
        raise LinkRefused(reason=found)
    return found
