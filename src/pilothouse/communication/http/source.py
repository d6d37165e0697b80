"""The routes of sources: posts that become runs, what the sources bring, dead letters and their replay.

A post is answered when what became of its messages is durable: 202 also for a dead letter, since its sender can do
nothing about it and would only send it again. What cannot be taken now is refused, and its sender tries again.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.body import read_body
from pilothouse.communication.http.call import Call, check_cursor, demand, principal_of, tenant_of
from pilothouse.communication.http.problem import KeysUnavailable
from pilothouse.communication.triggers.push import Unreadable, bearer, check, read_messages
from pilothouse.engine import source as verbs
from pilothouse.errors import MalformedRequest, Overloaded, SignatureRefused, SourceNotFound
from pilothouse.ports.identity import KeysAway
from pilothouse.wire.source import (
    DeadLetterPage,
    ReplayRequest,
    SourcePage,
    SourceView,
    TakenPage,
    TakenView,
    letter_view,
)

REPLAY_AT_ONCE = 100


class DeadQuery(Struct, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class PostQuery(Struct, forbid_unknown_fields=True):
    token: Annotated[str, Meta(max_length=1024)] | None = None


async def post_message(call: Call, source: str, query: PostQuery) -> None:
    """A message, or a batch of CloudEvents. Its sender proves itself as the settings of the source say."""
    desk = call.front.sources.desks.get(source)
    if desk is None or (desk.verify == "key" and desk.intake.tenant != tenant_of(call)):
        raise SourceNotFound(source=source[:80])
    if desk.verify == "key":
        demand(call, "runs:write")
    at = call.front.world.clock.now() / 1e6
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers.items()}
    if desk.identity is not None:
        try:
            await desk.identity.check(bearer(headers), at)
        except KeysAway:
            raise KeysUnavailable() from None
    body = await read_body(call)
    wrong = check(desk, headers, query.token or "", body, at)
    if wrong is not None:
        raise SignatureRefused(reason=wrong)
    try:
        messages = read_messages(desk, headers, body)
    except Unreadable as fault:
        raise MalformedRequest(reason=str(fault)) from None
    taken = [await verbs.take_in(call.front.world, desk.intake, one) for one in messages]
    call.front.sources.count(source, taken)
    if any(one.outcome == "again" for one in taken):
        raise Overloaded()
    await call.show(_page(taken), 202)


def _page(taken: list[verbs.Taken]) -> TakenPage:
    return TakenPage([TakenView(outcome=one.outcome, run=one.run, reason=one.reason) for one in taken])


async def list_sources(call: Call) -> None:
    found = [
        SourceView(
            name=name,
            kind=kind,
            agent=intake.rule.agent,
            taken=counts.taken,
            repeated=counts.repeated,
            dead=counts.dead,
            given_back=counts.given_back,
            problem=counts.problem,
        )
        for name, kind, intake, counts in call.front.sources.all()
        if intake.tenant == tenant_of(call)
    ]
    await call.show(SourcePage(found))


async def list_dead(call: Call, source: str, query: DeadQuery) -> None:
    _intake(call, source)
    check_cursor(query.cursor)
    found, cursor = await verbs.list_dead(call.front.world, tenant_of(call), source, query.cursor, query.limit)
    await call.show(DeadLetterPage([letter_view(id, letter) for id, letter in found], cursor))


async def replay_dead(call: Call, source: str, body: ReplayRequest) -> None:
    """Takes them in as if they came now. Those that become runs are dead letters no more; at most 100 at once."""
    intake = _intake(call, source)
    ids = body.ids
    if ids is None:
        found, _ = await verbs.list_dead(call.front.world, tenant_of(call), source, None, REPLAY_AT_ONCE)
        ids = [id for id, _ in found]
    taken = [await verbs.replay_dead(call.front.world, intake, id, principal_of(call)) for id in ids]
    await call.show(_page(taken))


def _intake(call: Call, source: str) -> verbs.Intake:
    for name, _, intake, _ in call.front.sources.all():
        if name == source and intake.tenant == tenant_of(call):
            return intake
    raise SourceNotFound(source=source[:80])
