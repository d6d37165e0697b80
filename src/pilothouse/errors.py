"""What can go wrong, for people: a stable code, one sentence, and the next step.

The docstring of a class is its message, with the facts of the case filled in, so that an error is written once, as
prose. HTTP statuses live in one table in `communication.http`, exit codes in one table in `cli`; nothing here knows
how an error is shown. A message never holds anything internal: no SQL, no path of the server, no stack.
"""

from typing import Any, ClassVar


class PilothouseError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"
    hint_text: ClassVar[str] = "Try again; if it happens again, look at the log of the node for this request id."

    def __init__(self, message: str | None = None, *, hint: str | None = None, **facts: Any) -> None:
        self.message = message if message is not None else _prose(type(self)).format(**facts)
        self.hint = hint if hint is not None else self.hint_text.format(**facts)
        self.facts = facts
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


def _prose(kind: type[PilothouseError]) -> str:
    """The first paragraph of the docstring of the class, on one line."""
    return " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())


# --- what the caller got wrong ------------------------------------------------------------------------------------


class MalformedRequest(PilothouseError):
    """The request cannot be read: {reason}."""

    code = "malformed_request"
    hint_text = "Send UTF-8 JSON as described at /docs."


class InvalidInput(PilothouseError):
    """The input does not fit the schema of what was asked for."""

    code = "invalid_input"
    hint_text = "Each entry of `faults` has the path of a fault and what was expected there."

    def __init__(self, message: str | None = None, *, faults: list[dict[str, str]], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.faults = faults


class TooLarge(PilothouseError):
    """{what} is larger than the limit of {limit} bytes."""

    code = "too_large"
    hint_text = "Send less, or keep the data elsewhere and send a reference to it."


class AgentNotFound(PilothouseError):
    """There is no agent named {agent!r} here."""

    code = "agent_not_found"
    hint_text = "GET /v1/agents lists the agents of this deployment."


class RunNotFound(PilothouseError):
    """There is no run {run!r} here."""

    code = "run_not_found"
    hint_text = "A stateless run is kept only when its agent or the request asks for it; GET /v1/runs lists kept runs."


class SessionNotFound(PilothouseError):
    """The agent {agent!r} has no session {session!r}."""

    code = "session_not_found"
    hint_text = "A session is made by its first turn."


class ReviewNotFound(PilothouseError):
    """There is no review {review!r} here."""

    code = "review_not_found"
    hint_text = "GET /v1/reviews?status=open lists the reviews that wait for a decision."


class StepNotFound(PilothouseError):
    """The run {run!r} has no finished step {step!r}."""

    code = "step_not_found"
    hint_text = "GET /v1/runs/{run}/steps lists the steps with their keys."


class BadCursor(PilothouseError):
    """The cursor is not one that this list gave out."""

    code = "bad_cursor"
    hint_text = "Start again without a cursor and pass on `next_cursor` unchanged."


class IdempotencyMismatch(PilothouseError):
    """The Idempotency-Key {key!r} was used before with another request."""

    code = "idempotency_mismatch"
    hint_text = "Use a new key for a new request, or send the very same body again."


class RunExists(PilothouseError):
    """There is already a run {run!r}."""

    code = "run_exists"
    hint_text = "Choose another run_id, or GET the run to see what it is."


class RunEnded(PilothouseError):
    """The run {run!r} has ended ({status}); it takes no {what} any more."""

    code = "run_ended"
    hint_text = "POST /v1/runs/{run}/retry makes a new run that keeps the finished steps."


class RunActive(PilothouseError):
    """The run {run!r} has not ended yet ({status})."""

    code = "run_active"
    hint_text = "Wait for its end, or cancel it first."


class SessionBusy(PilothouseError):
    """The session {session!r} has a turn in progress."""

    code = "session_busy"
    hint_text = 'Wait for the turn to end, or use "on_busy": "enqueue", "interrupt" or "rollback".'


class SessionExists(PilothouseError):
    """The agent {agent!r} already has a session {session!r}."""

    code = "session_exists"
    hint_text = "Choose another key for the fork."


class StateConflict(PilothouseError):
    """The state of the session {session!r} has version {version}, not the one in If-Match."""

    code = "state_conflict"
    hint_text = "GET the state again, apply the change to it and send its ETag in If-Match."


class ReviewClosed(PilothouseError):
    """The review {review!r} is {status} and takes no decision any more."""

    code = "review_closed"
    hint_text = "GET the review to see its answer."


class VoteRefused(PilothouseError):
    """This vote does not count: {reason}."""

    code = "vote_refused"
    hint_text = "GET the review: its details have the role, the quorum and who asked."


class LimitReached(PilothouseError):
    """{what} reached its limit of {limit}."""

    code = "limit_reached"
    hint_text = "Raise the limit in the settings, or do less in one run."


class Forbidden(PilothouseError):
    """This request is not allowed: {reason}."""

    code = "forbidden"
    hint_text = "Without keys only programs and pages of this machine are answered; with keys, what their scopes say."


class LinkRefused(PilothouseError):
    """This link does not open a question: {reason}."""

    code = "link_refused"
    hint_text = "Look for the question in the console; who is asked again gets a new link."


class Held(PilothouseError):
    """This is on hold: {reason}"""

    code = "held"
    hint_text = "GET /v1/holds tells who placed the hold {hold}; people lift it with `pilothouse hold lift`."


class HoldNotFound(PilothouseError):
    """There is no hold {hold!r} here."""

    code = "hold_not_found"
    hint_text = "GET /v1/holds lists the holds."


class PolicyInvalid(PilothouseError):
    """The policies cannot be used."""

    code = "policy_invalid"
    hint_text = "Each entry of `faults` has the policy and its fault; `pilothouse policy check` tells before."

    def __init__(self, message: str | None = None, *, faults: list[dict[str, str]], hint: str | None = None) -> None:
        told = "; ".join(f"{one['path']}: {one['message']}" for one in faults[:3])
        super().__init__(message or f"The policies cannot be used: {told}", hint=hint)
        self.faults = faults


class PolicyNotFound(PilothouseError):
    """There are no active policies here."""

    code = "policy_not_found"
    hint_text = "Send the policies along as `text`, or activate some with `pilothouse policy activate`."


class PolicyUnsigned(PilothouseError):
    """Under these policies {count} recent actions would be newly allowed, and no person has signed for that."""

    code = "policy_unsigned"
    hint_text = "Look at them with `pilothouse policy diff`; a person activates with --sign."


class Unauthenticated(PilothouseError):
    """This request is not let in: {reason}."""

    code = "unauthenticated"
    hint_text = "Send `Authorization: Bearer phk_...` with a key that `pilothouse keys create` made."


class KeyNotFound(PilothouseError):
    """There is no key {key!r} here."""

    code = "key_not_found"
    hint_text = "GET /v1/keys lists the keys with their ids; the id stands between the underscores of a key."


class Unsupported(PilothouseError):
    """{what} is not available in this deployment."""

    code = "unsupported"
    hint_text = "Leave it out of the request."


# --- what the deployment cannot do now ----------------------------------------------------------------------------


class Overloaded(PilothouseError):
    """There is more work than this node can take now."""

    code = "overloaded"
    hint_text = "Try again after the seconds in Retry-After."
    retry_after: int = 1


class TenantOverloaded(Overloaded):
    """This tenant has more work here than it may have at once: {queued}."""

    code = "tenant_overloaded"
    hint_text = "Nothing was accepted. Try again after the seconds in Retry-After, with fewer requests at once."


class Draining(Overloaded):
    """This node is shutting down and takes no new work."""

    code = "draining"
    hint_text = "Try again in a few seconds; the next node will answer."


class HostUnavailable(Overloaded):
    """The agent {agent!r} is starting and cannot answer yet."""

    code = "host_unavailable"
    hint_text = "Try again in a few seconds; `pilothouse doctor` tells when an agent cannot be loaded."


class WorkerLost(Overloaded):
    """The worker that was given this run is not heard of any more. The run may have begun."""

    code = "worker_lost"
    hint_text = "Try again where a second run does no harm. With an Idempotency-Key the next worker goes on with a run."


class RecordsUnavailable(Overloaded):
    """The records cannot be written now."""

    code = "records_unavailable"
    hint_text = "Nothing was accepted. Try again; the operator finds the reason with `pilothouse doctor`."
    retry_after = 2


class HotStoreUnavailable(PilothouseError):
    """The hot store cannot be reached{because}."""

    code = "hot_store_unavailable"
    hint_text = "What is there may be lost at any moment: go on without it, or try again later."

    def __init__(self, message: str | None = None, *, reason: str = "") -> None:
        super().__init__(message, because=f": {reason}" if reason else "")


# --- how a run ends ------------------------------------------------------------------------------------------------


class AgentFailed(PilothouseError):
    """The agent raised {kind}: {text}"""

    code = "agent_failed"
    hint_text = "GET the steps of the run to see what it did before; retry it when the cause is mended."


class InvalidOutput(PilothouseError):
    """The agent returned something that does not fit its output type: {text}"""

    code = "invalid_output"
    hint_text = "Return what the annotation of the agent says."


class HostLost(PilothouseError):
    """The process that ran the agent ended {losses} times while this run was in it."""

    code = "host_lost"
    hint_text = "Look for a crash, or for more memory than the limit of the host, in the log; then retry the run."


class DeadlineExceeded(PilothouseError):
    """The run did not end before its deadline."""

    code = "deadline_exceeded"
    hint_text = "Give the run a longer deadline, or find the slow step in its steps."


class Cancelled(PilothouseError):
    """The run was cancelled: {reason}."""

    code = "cancelled"
    hint_text = "POST /v1/runs/{{id}}/retry makes a new run that keeps the finished steps."


class ReleaseChanged(PilothouseError):
    """The run started on release {release} of the agent, which no host serves any more (now: {current})."""

    code = "release_changed"
    hint_text = "Retry the run: the new run uses the new code and keeps the finished steps."


class JournalDiverged(PilothouseError):
    """The code asked for the step {step!r}, but the journal of this run was written by other code: {reason}."""

    code = "journal_diverged"
    hint_text = "Bring back the code the run started on, or retry the run from its input."


class BudgetExceeded(PilothouseError):
    """A budget of this run is used up."""

    code = "budget_exceeded"
    hint_text = 'Raise the budget in pilothouse.toml, or have it ask a person (on_hit = "review"); then retry the run.'


# --- what an agent may catch -----------------------------------------------------------------------------------------


class StepFailed(PilothouseError):
    """The step {step!r} failed with {kind}: {text}"""

    code = "step_failed"
    hint_text = "The journal keeps this failure: it is raised again on every replay."

    @property
    def step(self) -> str:
        """The key of the step."""
        return str(self.facts.get("step", ""))

    @property
    def kind(self) -> str:
        """The type of what the function raised, as `module.Name`, or a bare name for what Python has built in."""
        return str(self.facts.get("kind", ""))

    @property
    def text(self) -> str:
        """What the function's error said."""
        return str(self.facts.get("text", ""))


class StepTimeout(StepFailed):
    """The step {step!r} took longer than its limit of {seconds} s."""

    code = "step_timeout"
    hint_text = "Raise the timeout of the step, or make it retry."


class ActionDenied(StepFailed):
    """The call of {name!r} was not allowed: {text}"""

    code = "action_denied"
    hint_text = "`pilothouse policy explain` tells which policy decides it; the journal keeps this end."


class UnknownOutcome(PilothouseError):
    """The step {step!r} was started once and its end was not seen; a person decided not to repeat it."""

    code = "unknown_outcome"
    hint_text = "Check with the other system what happened, and go on from there."


class SignalTimeout(PilothouseError):
    """No signal {name!r} came in time."""

    code = "signal_timeout"
    hint_text = "Send it with POST /v1/runs/{{id}}/signals/{name} while the run waits."


class CallFailed(PilothouseError):
    """The agent {agent!r} that was called ended {status}: {text}"""

    code = "call_failed"
    hint_text = "GET the run {run} to see what happened there."


class ScratchRefused(PilothouseError):
    """The scratch refuses {key!r}: {reason}."""

    code = "scratch_refused"
    hint_text = "Let entries end sooner, delete what is not needed, or keep what must last in the state of the session."


class NotUndone(PilothouseError):
    """The run failed ({text}), and this was left as it is: {names}."""

    code = "not_undone"
    hint_text = "A person has decided so in a review of this run; what is left has to be taken back by hand."


class DeliveryNotFound(PilothouseError):
    """There is no delivery {delivery!r}."""

    code = "delivery_not_found"
    hint_text = "GET /v1/deliveries lists them; one goes with its run when that is removed."


class ScheduleNotFound(PilothouseError):
    """There is no schedule {schedule!r}."""

    code = "schedule_not_found"
    hint_text = "GET /v1/schedules lists them."


class ScheduleExists(PilothouseError):
    """There is a schedule {schedule!r} already."""

    code = "schedule_exists"
    hint_text = "Delete it first, or choose another name."


class ScheduleRefused(PilothouseError):
    """The schedule cannot be: {reason}."""

    code = "schedule_refused"
    hint_text = 'Give one of cron (as in "0 7 * * MON-FRI"), every_seconds and at (as in 2026-12-24T18:00:00Z).'


class SourceNotFound(PilothouseError):
    """There is no source {source!r}."""

    code = "source_not_found"
    hint_text = "GET /v1/sources lists them; the settings name them, as in [sources.orders]."


class DeadLetterNotFound(PilothouseError):
    """There is no dead letter {letter!r} of this source."""

    code = "dead_letter_not_found"
    hint_text = "GET /v1/sources/{{source}}/dead lists them; one that became a run is none any more."


class SignatureRefused(PilothouseError):
    """The message is not from who it says it is: {reason}."""

    code = "signature_refused"
    hint_text = "Sign it with the secret of this source, over the very bytes of the body."


class WebhookRefused(PilothouseError):
    """The webhook cannot be used: {reason}."""

    code = "webhook_refused"
    hint_text = "Give an https:// address that anybody on the internet can reach."


class OverrideConflict(PilothouseError):
    """The {what} cannot be overridden so: {reason}."""

    code = "override_conflict"
    hint_text = "Look at what is in force now and at its overrides, then decide again."


class NotEvaluated(PilothouseError):
    """The release {release!r} of the agent {agent!r} may not go on: {reason}."""

    code = "not_evaluated"
    hint_text = "`pilothouse eval run {agent} --dataset NAME --evaluator exact` scores the release that is served."


class NotOnRecord(PilothouseError):
    """There is no {kind} {name!r} here."""

    code = "not_on_record"
    hint_text = "GET {place} lists those there are."


class NotDeclared(PilothouseError):
    """The agent {agent!r} does not declare that it decides about people."""

    code = "not_declared"
    hint_text = "Say what it decides with @agent(decision=Decision(...)) or in [agents.{agent}.decision]."


class NotKept(PilothouseError):
    """{what} needs a run that is kept, and this stateless run is not."""

    code = "not_kept"
    hint_text = "Set keep = true for the agent, or use the mode `session` or `event`."


# --- what the operator must mend -------------------------------------------------------------------------------------


class SettingsInvalid(PilothouseError):
    """The settings are not usable: {reason}."""

    code = "settings_invalid"
    hint_text = "`pilothouse settings` prints each setting with where it came from."


class TargetInvalid(PilothouseError):
    """The agent {agent!r} cannot be loaded from {target!r}: {reason}."""

    code = "target_invalid"
    hint_text = "A target is module:object; the folder of pilothouse.toml is on the import path."


class EnvironmentFailed(PilothouseError):
    """The environment of {agents} cannot be had: {reason}"""

    code = "environment_failed"
    hint_text = "Mend what `environment` names; `pilothouse environments build` tries again and shows its progress."


class RecordsLocked(PilothouseError):
    """Another node uses these records: {holder}."""

    code = "records_locked"
    hint_text = "One SQLite file serves one node. Stop the other one, or give this one a file of its own."


class RecordsInvalid(PilothouseError):
    """The records cannot be used: {reason}."""

    code = "records_invalid"
    hint_text = "Restore a backup with `pilothouse restore`, or start with a new file."


class AddressRefused(PilothouseError):
    """Pilothouse does not listen on {host}: no keys are configured, and anybody there could use the agents."""

    code = "address_refused"
    hint_text = "Make one with `pilothouse keys create NAME --scope ...`, or listen on 127.0.0.1."


class AddressInUse(PilothouseError):
    """The address {host}:{port} is in use by another program."""

    code = "address_in_use"
    hint_text = "Stop the other program, or choose another port with --port."


class EgressDenied(PilothouseError):
    """{who} may not connect to {host} (port {port})."""

    code = "egress_denied"
    hint_text = "If it should, add the host to `egress` of [agents.{agent}] in pilothouse.toml."


class SecretRefused(PilothouseError):
    """The secret {name!r} {reason}."""

    code = "secret_refused"
    hint_text = "Name its source and the hosts it may go to in [secrets.{name}] of pilothouse.toml."


class BlockedLoop(PilothouseError):
    """This call of {provider} by a sync client blocks the event loop, so the node cannot be asked whether a limit or a
    budget allows it."""

    code = "blocked_loop"
    hint_text = "Use the async client of the library, or make the agent a sync function: it then has a thread."
