"""Refusals: the one table from code to HTTP status, and `application/problem+json` (RFC 9457).

Every subclass of `PilothouseError` has a row, also those that end runs and never reach a caller as a refusal; a test
holds the table against the classes. The errors that only HTTP knows are declared here.
"""

import re

import msgspec

from pilothouse import errors
from pilothouse.errors import Overloaded, PilothouseError, Unauthenticated
from pilothouse.wire.problem import Fault, Problem

PROBLEM_JSON = b"application/problem+json"


class RouteNotFound(PilothouseError):
    """There is nothing at {path}."""

    code = "route_not_found"
    hint_text = "The routes are listed at /docs."


class MethodNotAllowed(PilothouseError):
    """{path} does not take {method}."""

    code = "method_not_allowed"
    hint_text = "Use one of the methods in the header Allow: {allowed}."


class MediaTypeRefused(PilothouseError):
    """The body is {media}, which is not read here."""

    code = "media_type_refused"
    hint_text = "Send UTF-8 JSON, uncompressed, with Content-Type: {expected}."


class RequestTimeout(PilothouseError):
    """The {what} of the request did not come within {seconds:g} s."""

    code = "request_timeout"
    hint_text = "Send the request again, without a pause."


class UpgradeRequired(PilothouseError):
    """This address speaks WebSocket, and the request does not: {reason}."""

    code = "upgrade_required"
    hint_text = "Use a WebSocket client, or follow the events as server-sent events at /v1/runs/<id>/events."


class ClientGone(PilothouseError):
    """The caller went away before the request was complete."""

    code = "client_gone"
    hint_text = "Nothing was done. Send the request again."


class KeysUnavailable(Overloaded):
    """The keys of the issuer of identity tokens cannot be fetched now."""

    code = "keys_unavailable"
    hint_text = (
        "Nothing was taken; send it again. The operator looks at `keys_url` of the source, and at the way there."
    )
    retry_after = 10


STATUS: dict[str, int] = {
    # what the caller got wrong
    "malformed_request": 400,
    "bad_cursor": 400,
    "client_gone": 400,
    "unauthenticated": 401,
    "signature_refused": 401,
    "forbidden": 403,
    "vote_refused": 403,
    "link_refused": 403,
    "agent_not_found": 404,
    "run_not_found": 404,
    "session_not_found": 404,
    "review_not_found": 404,
    "delivery_not_found": 404,
    "source_not_found": 404,
    "dead_letter_not_found": 404,
    "schedule_not_found": 404,
    "step_not_found": 404,
    "key_not_found": 404,
    "policy_not_found": 404,
    "hold_not_found": 404,
    "not_on_record": 404,
    "route_not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "run_exists": 409,
    "run_ended": 409,
    "run_active": 409,
    "session_busy": 409,
    "session_exists": 409,
    "schedule_exists": 409,
    "review_closed": 409,
    "policy_unsigned": 409,
    "held": 409,
    "override_conflict": 409,
    "not_declared": 409,
    "not_evaluated": 409,
    "not_kept": 409,
    "outside_step": 409,
    "release_changed": 409,
    "journal_diverged": 409,
    "cancelled": 409,
    "state_conflict": 412,
    "too_large": 413,
    "media_type_refused": 415,
    "invalid_input": 422,
    "upgrade_required": 426,
    "policy_invalid": 422,
    "idempotency_mismatch": 422,
    "unsupported": 422,
    "webhook_refused": 422,
    "schedule_refused": 422,
    "limit_reached": 429,
    "tenant_overloaded": 429,
    # what the deployment cannot do now
    "overloaded": 503,
    "draining": 503,
    "host_unavailable": 503,
    "worker_lost": 503,
    "records_unavailable": 503,
    "keys_unavailable": 503,
    # how runs and steps end: shown inside a run, a refusal only if something is wrong here
    "internal": 500,
    "agent_failed": 500,
    "invalid_output": 500,
    "host_lost": 500,
    "deadline_exceeded": 500,
    "step_failed": 500,
    "step_timeout": 500,
    "action_denied": 500,
    "unknown_outcome": 500,
    "signal_timeout": 500,
    "call_failed": 500,
    "scratch_refused": 500,
    "hot_store_unavailable": 500,
    "not_undone": 500,
    "budget_exceeded": 500,
    "egress_denied": 500,
    "secret_refused": 500,
    "blocked_loop": 500,
    # what the operator must mend: a node that has one of these does not serve
    "settings_invalid": 500,
    "target_invalid": 500,
    "environment_failed": 500,
    "records_locked": 500,
    "records_invalid": 500,
    "address_refused": 500,
    "address_in_use": 500,
}

_encode = msgspec.json.Encoder().encode


def status_of(error: PilothouseError) -> int:
    return STATUS.get(error.code, 500)


def title_of(kind: type[PilothouseError]) -> str:
    """The name of the class as words: the same for every case of a code."""
    words = re.findall(r"[A-Z][a-z]*", kind.__name__)
    return " ".join(words).capitalize() if kind is not PilothouseError else "Internal error"


def encode_problem(error: PilothouseError, status: int | None = None) -> bytes:
    run = error.facts.get("run")
    faults = getattr(error, "faults", None)
    problem = Problem(
        type=f"/docs#{error.code}",
        title=title_of(type(error)),
        status=status_of(error) if status is None else status,
        detail=error.message,
        code=error.code,
        hint=error.hint,
        run=run if isinstance(run, str) else msgspec.UNSET,
        faults=msgspec.UNSET if faults is None else msgspec.convert(faults, list[Fault]),
    )
    return _encode(problem)


def headers_of(error: PilothouseError) -> list[tuple[bytes, bytes]]:
    """What must stand beside some refusals for a program to act on them."""
    match error:
        case Overloaded():
            return [(b"retry-after", b"%d" % error.retry_after)]
        case MethodNotAllowed():
            return [(b"allow", str(error.facts["allowed"]).encode())]
        case UpgradeRequired():
            return [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-version", b"13")]
        case Unauthenticated():
            return [(b"www-authenticate", b'Bearer realm="pilothouse"')]
        case _ if status_of(error) == 429:
            return [(b"retry-after", b"1")]
        case _:
            return []


def explained() -> list[type[PilothouseError]]:
    """The errors that a caller may meet: those of the house, and those of HTTP."""
    places = (vars(errors).values(), globals().values())
    return [one for place in places for one in place if isinstance(one, type) and issubclass(one, PilothouseError)]
