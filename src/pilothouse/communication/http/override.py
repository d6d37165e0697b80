"""The routes of overrides: to supersede an outcome or an answer, and to see what was superseded.

What is overridden is answered as readers get it from now on. Who overrides is taken from the request's principal.
"""

from msgspec import UNSET, Raw

from pilothouse.communication.http.call import Call, tenant_of
from pilothouse.communication.http.run import check_run_id
from pilothouse.domain.review import Answer
from pilothouse.engine import override as verbs
from pilothouse.engine.review import get_review
from pilothouse.engine.run import get_run
from pilothouse.errors import InvalidInput
from pilothouse.wire.override import OverrideRequest, ReviewOverrideRequest, override_page
from pilothouse.wire.review import review_view
from pilothouse.wire.run import encode_run


async def override_run(call: Call, run: str, body: OverrideRequest) -> None:
    """Of a run that has ended. Another output, a compensation run, or both."""
    check_run_id(run)
    if body.output is UNSET and body.compensate is None:
        raise InvalidInput(faults=[{"path": "$.output", "message": "give it, or `compensate`, or both"}])
    asked = verbs.Correction(
        reason=body.reason,
        value=bytes(body.output) if isinstance(body.output, Raw) else None,
        superseded=body.superseded,
        compensate=body.compensate,
    )
    await call.answer(200, encode_run(await verbs.override_run(call.front.world, call.principal, run, asked)))


async def override_review(call: Call, review: str, body: ReviewOverrideRequest) -> None:
    """Of a review that has an answer, and whose run has ended."""
    if body.verdict == "respond" and not body.response:
        raise InvalidInput(faults=[{"path": "$.response", "message": "the verdict `respond` needs it"}])
    edited = body.edited if body.verdict == "edit" else None
    answer = Answer(verdict=body.verdict, edited=edited, response=body.response)
    asked = verbs.Correction(reason=body.reason, superseded=body.superseded, compensate=body.compensate)
    found = await verbs.override_review(call.front.world, call.principal, review, answer, asked)
    await call.show(review_view(found))


async def list_run_overrides(call: Call, run: str) -> None:
    check_run_id(run)
    found = await get_run(call.front.world, tenant_of(call), run)
    await call.show(override_page(found.output, found.overrides))


async def list_review_overrides(call: Call, review: str) -> None:
    found = await get_review(call.front.world, tenant_of(call), review)
    await call.show(override_page(found.answer, found.overrides))
