"""People with keys in a node of a test, so that they can be told apart and have roles."""

from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.review import Answer
from pilothouse.engine import key
from pilothouse.engine.verdict import give_verdict


async def hire(node, name: str, *roles: str, kind: str = "human") -> Principal:
    """Somebody who may do everything that their roles say."""
    scopes = ["*"] if kind != "agent" else ["runs:write", "reviews:decide"]
    made, _ = await key.create_key(node.world, LOCAL, name, kind, scopes, list(roles), None)
    return made.principal


async def lose(node, who: Principal) -> None:
    await key.revoke_key(node.world, LOCAL, who.key)


async def decide(node, asked, who: Principal, verdict: str = "approve", *, break_glass=False, compensate=None, **more):
    answer = Answer(verdict=verdict, by=who.name, **more)
    return await give_verdict(
        node.world, "default", asked.id, answer, who, break_glass=break_glass, compensate=compensate
    )
