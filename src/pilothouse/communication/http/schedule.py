"""The routes of schedules: made, looked at, paused, resumed, fired by hand, deleted.

Whether a rule can be is the verb's business; a session key is checked here like that of a run.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.body import check_payload
from pilothouse.communication.http.call import Call, check_cursor, principal_of, tenant_of
from pilothouse.domain import ids
from pilothouse.engine import schedule as verbs
from pilothouse.errors import InvalidInput
from pilothouse.ports.records import Document
from pilothouse.wire.run import encode_run
from pilothouse.wire.schedule import (
    SchedulePage,
    ScheduleRequest,
    ScheduleView,
    firing_page,
    schedule_of,
    schedule_view,
)


class SchedulesQuery(Struct, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class FiringsQuery(Struct, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=1, le=100)] = 10


def _view(document: Document) -> ScheduleView:
    return schedule_view(verbs.read(document), document.state)


async def list_schedules(call: Call, query: SchedulesQuery) -> None:
    check_cursor(query.cursor)
    found, cursor = await verbs.list_schedules(call.front.world, tenant_of(call), query.cursor, query.limit)
    await call.show(SchedulePage([_view(one) for one in found], cursor))


async def make_schedule(call: Call, body: ScheduleRequest) -> None:
    if body.session is not None and not ids.valid_session_key(body.session):
        raise InvalidInput(faults=[{"path": "$.session", "message": "expected 1 to 256 printable characters"}])
    check_payload(bytes(body.input))
    made = await verbs.make_schedule(call.front.world, tenant_of(call), schedule_of(body), principal_of(call))
    await call.show(_view(made), 201)


async def get_schedule(call: Call, schedule: str) -> None:
    await call.show(_view(await verbs.get_schedule(call.front.world, tenant_of(call), schedule)))


async def list_firings(call: Call, schedule: str, query: FiringsQuery) -> None:
    """When it fires next, its jitter included."""
    found = await verbs.get_schedule(call.front.world, tenant_of(call), schedule)
    await call.show(firing_page(verbs.next_firings(verbs.read(found), query.count)))


async def pause_schedule(call: Call, schedule: str) -> None:
    """It fires no more until it is resumed."""
    await call.show(_view(await verbs.pause_schedule(call.front.world, tenant_of(call), schedule, principal_of(call))))


async def resume_schedule(call: Call, schedule: str) -> None:
    """It fires again from now on; what passed while it was paused is not made up for."""
    await call.show(_view(await verbs.resume_schedule(call.front.world, tenant_of(call), schedule, principal_of(call))))


async def run_schedule(call: Call, schedule: str) -> None:
    """A run of it now, beside its rule."""
    run = await verbs.run_schedule(call.front.world, tenant_of(call), schedule, principal_of(call))
    await call.answer(202, encode_run(run), [(b"location", b"/v1/runs/" + run.id.encode())])


async def delete_schedule(call: Call, schedule: str) -> None:
    """Runs that it has started go on."""
    await verbs.delete_schedule(call.front.world, tenant_of(call), schedule, principal_of(call))
    await call.answer_empty(204)
