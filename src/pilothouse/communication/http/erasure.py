"""The route that erases a subject: of whom runs were, as their callers named them.

It answers when all has gone, which may take some rounds; asked again after a refusal or a crash it goes on.
"""

from pilothouse.communication.http.call import Call
from pilothouse.engine import erasure
from pilothouse.errors import InvalidInput
from pilothouse.wire.erasure import ErasedView


async def erase_subject(call: Call, subject: str) -> None:
    """Its runs, the sessions in which it has a turn, their scratch, its examples (from every dataset version too), and
    the key of its digests in the audit log. Refused, before anything has gone, while a hold covers any of it."""
    if len(subject) > 256:
        raise InvalidInput(faults=[{"path": "path.subject", "message": "expected 1 to 256 characters"}])
    erased = await erasure.erase_subject(call.front.world, call.principal, subject)
    await call.show(ErasedView(erased.runs, erased.sessions, erased.examples))
