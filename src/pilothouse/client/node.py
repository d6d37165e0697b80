"""A typed client of a node, for the command line, the examples and the system tests.

One method for each thing a caller can ask, named like the verbs of the engine. Starting a run sends an Idempotency-Key
made here unless told otherwise, so that it may be repeated after a lost answer without starting a second run. Who
shows errors, asks people or reads the environment is somebody else.
"""

import time
import uuid
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from pilothouse.client.http import Wire
from pilothouse.client.oversight import Oversight
from pilothouse.client.shape import (
    Activated,
    Agent,
    AgentPage,
    AlertPage,
    AuditPage,
    Checkpoint,
    Comparison,
    Costs,
    DeadLetterPage,
    Delegation,
    DelegationPage,
    Delivery,
    DeliveryPage,
    EventPage,
    FiringPage,
    Hold,
    HoldPage,
    Key,
    KeyPage,
    NewKey,
    Overview,
    PolicyCheck,
    PolicyState,
    Review,
    ReviewPage,
    Ruling,
    Run,
    RunPage,
    Scale,
    Schedule,
    SchedulePage,
    Session,
    SessionPage,
    SourcePage,
    StepPage,
    TakenPage,
    TurnPage,
)
from pilothouse.client.stream import EventStream, RunStart

HOLD = 30.0
"""Seconds one request waits for the end of a run before it is asked again."""
Later = Literal["later"]


class Client(Oversight):
    """Talks to the node at `url`, with an API key where it asks for one.

    `answer_within` bounds one answer, `retry_within` the repeats of a request nobody
    answered, `reconnect_within` the silence of a stream that was already heard."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8700",
        *,
        key: str | None = None,
        answer_within: float = 30.0,
        retry_within: float = 2.0,
        reconnect_within: float = 60.0,
    ) -> None:
        self.url = url
        self.key = key
        self._wire = Wire(url, answer_within, retry_within, key)
        self._reconnect_within = reconnect_within

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()

    # --- runs ---------------------------------------------------------------------------------------------------------

    def start_run(
        self,
        agent: str,
        input: Any = None,
        *,
        wait: float | Later | None = None,
        key: str | None = None,
        repeatable: bool = True,
        within: float = 600.0,
        **options: Any,
    ) -> Run:
        """The run as it is when the node answers: at its end, or as `wait` says: after so many seconds at most, or
        at once with "later". `options` are the other fields of the request (session, metadata, priority ...).

        `repeatable` False sends no Idempotency-Key: a stateless run is then not kept, and a lost answer is an error."""
        headers = _key(key, repeatable)
        if wait is not None:
            headers["Prefer"] = "respond-async" if wait == "later" else f"wait={wait:g}"
        return self._wire.call(
            Run, "POST", _agent(agent, "runs"), body={"input": input} | options, headers=headers,
            repeatable="Idempotency-Key" in headers, within=within,
        )  # fmt: skip

    def stream_run(
        self, agent: str, input: Any = None, *, key: str | None = None, repeatable: bool = True, **options: Any
    ) -> EventStream:
        """Starts a run when it is iterated, and gives its events from the first to the terminal one."""
        start = RunStart(_agent(agent, "runs"), {"input": input} | options, _key(key, repeatable))
        return EventStream(self._wire, self._reconnect_within, start=start)

    def follow_run(self, run: str, after: int = 0) -> EventStream:
        """The events of a run after the one with the number `after`."""
        return EventStream(self._wire, self._reconnect_within, run=_part(run), after=after)

    def get_run(self, run: str) -> Run:
        return self._wire.call(Run, "GET", _run(run))

    def wait_run(self, run: str, within: float = 600.0) -> Run:
        """The run at its end, or as it is when the time is over."""
        until = time.monotonic() + within
        while True:
            hold = max(0.0, min(HOLD, until - time.monotonic()))
            found = self._wire.call(Run, "GET", _run(run), params={"wait": f"{hold:g}"}, within=hold + HOLD)
            if found.is_terminal or time.monotonic() >= until:
                return found

    def list_runs(
        self,
        *,
        agent: str | None = None,
        session: str | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> RunPage:
        params = {"agent": agent, "session": session, "status": status, "cursor": cursor, "limit": limit}
        return self._wire.call(RunPage, "GET", "/v1/runs", params=params)

    def list_steps(self, run: str, *, cursor: str | None = None, limit: int | None = None) -> StepPage:
        return self._wire.call(StepPage, "GET", _run(run, "steps"), params={"cursor": cursor, "limit": limit})

    def list_events(self, run: str, *, after: int = 0, limit: int | None = None) -> EventPage:
        return self._wire.call(EventPage, "GET", _run(run, "events"), params={"after": after, "limit": limit},
                               headers={"Accept": "application/json"})  # fmt: skip

    def cancel_run(self, run: str, reason: str | None = None) -> Run | None:
        """None: the node does not know the run, and will cancel it should it come."""
        body = {} if reason is None else {"reason": reason}
        found = self._wire.call(dict[str, Any], "POST", _run(run, "cancel"), body=body, repeatable=True)
        return _as_run(found) if "status" in found else None

    def retry_run(self, run: str) -> Run:
        """A new run with the input of this one, that keeps its finished steps."""
        return self._wire.call(Run, "POST", _run(run, "retry"), body={})

    def fork_run(
        self, run: str, *, after: str | None = None, replace: dict[str, Any] | None = None, reason: str | None = None
    ) -> Run:
        """A new run that keeps the steps up to `after`, those in `replace` with another output."""
        body = {"after": after, "replace": replace or {}, "reason": reason}
        return self._wire.call(Run, "POST", _run(run, "fork"), body=body)

    def send_signal(self, run: str, name: str, payload: Any = None) -> Run:
        return self._wire.call(Run, "POST", _run(run, f"signals/{_part(name)}"), body={"payload": payload})

    # --- sessions -----------------------------------------------------------------------------------------------------

    def list_sessions(
        self, agent: str, *, prefix: str = "", cursor: str | None = None, limit: int | None = None
    ) -> SessionPage:
        """Sessions whose key begins with `prefix`, by key, without their state."""
        params = {"prefix": prefix or None, "cursor": cursor, "limit": limit}
        return self._wire.call(SessionPage, "GET", _agent(agent, "sessions"), params=params)

    def get_session(self, agent: str, key: str) -> Session:
        return self._wire.call(Session, "GET", _session(agent, key))

    def list_history(self, agent: str, key: str, *, cursor: str | None = None, limit: int | None = None) -> TurnPage:
        params = {"cursor": cursor, "limit": limit}
        return self._wire.call(TurnPage, "GET", _session(agent, key, "history"), params=params)

    def get_state(self, agent: str, key: str) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", _session(agent, key, "state"))

    def write_state(
        self, agent: str, key: str, patch: dict[str, Any], *, version: int | None = None, reason: str | None = None
    ) -> dict[str, Any]:
        """Merges the patch into the state (RFC 7396); with `version`, only when the state still has it."""
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        path = _session(agent, key, "state")
        return self._wire.call(dict[str, Any], "PATCH", path, body=patch, headers=headers, params={"reason": reason})

    def fork_session(self, agent: str, key: str, new_key: str, *, after: str | None = None) -> Session:
        body = {"key": new_key, "after": after}
        return self._wire.call(Session, "POST", _session(agent, key, "fork"), body=body)

    def delete_session(self, agent: str, key: str) -> None:
        self._wire.call(type(None), "DELETE", _session(agent, key))

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def list_deliveries(
        self,
        *,
        status: str | None = None,
        run: str | None = None,
        receiver: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> DeliveryPage:
        params = {"status": status, "run": run, "receiver": receiver, "cursor": cursor, "limit": limit}
        return self._wire.call(DeliveryPage, "GET", "/v1/deliveries", params=params)

    def get_delivery(self, delivery: str) -> Delivery:
        return self._wire.call(Delivery, "GET", f"/v1/deliveries/{_part(delivery)}")

    def retry_delivery(self, delivery: str) -> Delivery:
        return self._wire.call(Delivery, "POST", f"/v1/deliveries/{_part(delivery)}/retry")

    # --- sources ------------------------------------------------------------------------------------------------------

    def list_sources(self) -> SourcePage:
        return self._wire.call(SourcePage, "GET", "/v1/sources")

    def list_dead(self, source: str, *, cursor: str | None = None, limit: int | None = None) -> DeadLetterPage:
        params = {"cursor": cursor, "limit": limit}
        return self._wire.call(DeadLetterPage, "GET", f"/v1/sources/{_part(source)}/dead", params=params)

    def replay_dead(self, source: str, ids: list[str] | None = None) -> TakenPage:
        """Those letters, or as many as the node takes at once."""
        return self._wire.call(TakenPage, "POST", f"/v1/sources/{_part(source)}/replay", body={"ids": ids})

    # --- schedules ----------------------------------------------------------------------------------------------------

    def list_schedules(self, *, cursor: str | None = None, limit: int | None = None) -> SchedulePage:
        return self._wire.call(SchedulePage, "GET", "/v1/schedules", params={"cursor": cursor, "limit": limit})

    def make_schedule(self, name: str, agent: str, **rule: Any) -> Schedule:
        """`rule` is the rest of the request: `cron`, `every_seconds` or `at`, and what it may have beside it."""
        return self._wire.call(Schedule, "POST", "/v1/schedules", body={"name": name, "agent": agent, **rule})

    def get_schedule(self, name: str) -> Schedule:
        return self._wire.call(Schedule, "GET", _schedule(name))

    def list_firings(self, name: str, *, count: int = 10) -> FiringPage:
        return self._wire.call(FiringPage, "GET", _schedule(name, "firings"), params={"count": count})

    def change_schedule(self, name: str, verb: Literal["pause", "resume"]) -> Schedule:
        return self._wire.call(Schedule, "POST", _schedule(name, verb))

    def run_schedule(self, name: str) -> Run:
        return _as_run(self._wire.call(dict[str, Any], "POST", _schedule(name, "run")))

    def delete_schedule(self, name: str) -> None:
        self._wire.call(type(None), "DELETE", _schedule(name))

    # --- reviews, agents, health --------------------------------------------------------------------------------------

    def list_reviews(
        self,
        *,
        status: str | None = None,
        run: str | None = None,
        role: str | None = None,
        due_within: float | None = None,
        kind: str | None = None,
        newest: bool = False,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> ReviewPage:
        """The oldest first, or the `newest`. `role`: in which this role is asked now. `due_within`: seconds until they
        end. `kind`: as in `appeal`."""
        params = {"status": status, "run": run, "role": role, "due_within": due_within, "cursor": cursor}
        params |= {"kind": kind, "newest": "true" if newest else None, "limit": limit}
        return self._wire.call(ReviewPage, "GET", "/v1/reviews", params=params)

    def get_review(self, review: str) -> Review:
        return self._wire.call(Review, "GET", f"/v1/reviews/{_part(review)}")

    def decide_review(self, review: str, verdict: str, *, reason: str = "", **answer: Any) -> Review:
        """`answer` is `edited` for the verdict edit, `response` for respond; of appeals also `compensate`."""
        body = {"verdict": verdict, "reason": reason} | answer
        return self._wire.call(Review, "POST", f"/v1/reviews/{_part(review)}/decision", body=body)

    def list_delegations(self) -> DelegationPage:
        return self._wire.call(DelegationPage, "GET", "/v1/delegations")

    def delegate(self, to: str, roles: list[str], seconds: float) -> Delegation:
        """`to` may vote in your name, in these of your roles."""
        body = {"to": to, "roles": roles, "seconds": seconds}
        return self._wire.call(Delegation, "POST", "/v1/delegations", body=body)

    def end_delegation(self, delegation: str) -> None:
        self._wire.call(type(None), "DELETE", f"/v1/delegations/{_part(delegation)}")

    def read_audit(self, *, after: int = 0, limit: int | None = None) -> AuditPage:
        """Entries of the audit log, each exactly as it is hashed."""
        return self._wire.call(AuditPage, "GET", "/v1/audit", params={"after": after, "limit": limit})

    def get_checkpoint(self) -> Checkpoint:
        return self._wire.call(Checkpoint, "GET", "/v1/audit/checkpoint", repeatable=True)

    # --- holds --------------------------------------------------------------------------------------------------------

    def place_hold(
        self, reason: str, *, effect: str = "pause", incident: bool | None = None, **selector: str | None
    ) -> Hold:
        """`selector` is any of region, agent, release, tool, run and session; without one, everything of the tenant.
        `incident`: whether it opens one; None: as the settings of its agent say."""
        body = {"reason": reason, "effect": effect, "incident": incident} | selector
        return self._wire.call(Hold, "POST", "/v1/holds", body=body)

    def list_holds(self, *, status: str | None = None, cursor: str | None = None, limit: int | None = None) -> HoldPage:
        params = {"status": status, "cursor": cursor, "limit": limit}
        return self._wire.call(HoldPage, "GET", "/v1/holds", params=params)

    def lift_hold(self, hold: str) -> Hold:
        return self._wire.call(Hold, "DELETE", f"/v1/holds/{_part(hold)}")

    # --- policies -----------------------------------------------------------------------------------------------------

    def get_policies(self) -> PolicyState:
        return self._wire.call(PolicyState, "GET", "/v1/policies")

    def get_policy_schema(self) -> dict[str, Any]:
        return self._wire.call(dict[str, Any], "GET", "/v1/policies/schema")

    def check_policies(self, text: str) -> PolicyCheck:
        return self._wire.call(PolicyCheck, "POST", "/v1/policies/check", body={"text": text}, repeatable=True)

    def compare_policies(self, text: str) -> Comparison:
        return self._wire.call(Comparison, "POST", "/v1/policies/compare", body={"text": text}, repeatable=True)

    def explain_policies(self, action: dict[str, Any], text: str | None = None) -> Ruling:
        """How a call of a tool would be ruled on: under `text`, or under the active policies."""
        body = action if text is None else action | {"text": text}
        return self._wire.call(Ruling, "POST", "/v1/policies/explain", body=body, repeatable=True)

    def activate_policies(self, text: str, *, mode: str = "enforce", signed: bool = False) -> Activated:
        body = {"text": text, "mode": mode, "signed": signed}
        return self._wire.call(Activated, "PUT", "/v1/policies", body=body)

    def deactivate_policies(self) -> None:
        self._wire.call(type(None), "DELETE", "/v1/policies")

    # --- keys ---------------------------------------------------------------------------------------------------------

    def create_key(
        self,
        name: str,
        *,
        kind: str,
        scopes: list[str],
        roles: list[str],
        expires_in_seconds: float | None = None,
        tenant: str | None = None,
    ) -> NewKey:
        """A new key; its text is told this once. `tenant`: another one than yours, for an administrator."""
        body = {"name": name, "kind": kind, "scopes": scopes, "roles": roles, "expires_in_seconds": expires_in_seconds}
        body["tenant"] = tenant
        return self._wire.call(NewKey, "POST", "/v1/keys", body=body)

    def list_tenants(self) -> dict[str, Any]:
        """For an administrator: those that have keys, and how many."""
        return self._wire.call(dict[str, Any], "GET", "/v1/tenants")

    def list_keys(self, *, cursor: str | None = None, limit: int | None = None) -> KeyPage:
        return self._wire.call(KeyPage, "GET", "/v1/keys", params={"cursor": cursor, "limit": limit})

    def rotate_key(self, key: str, *, overlap_seconds: float = 3600.0) -> NewKey:
        body = {"overlap_seconds": overlap_seconds}
        return self._wire.call(NewKey, "POST", f"/v1/keys/{_part(key)}/rotate", body=body)

    def revoke_key(self, key: str) -> Key:
        return self._wire.call(Key, "DELETE", f"/v1/keys/{_part(key)}")

    def list_agents(self) -> AgentPage:
        return self._wire.call(AgentPage, "GET", "/v1/agents")

    def get_agent(self, agent: str) -> Agent:
        return self._wire.call(Agent, "GET", _agent(agent))

    def get_overview(self, *, agent: str | None = None, seconds: float = 3600.0, slices: int = 60) -> Overview:
        """What runs did in the last `seconds`, in `slices` parts, and how much waits now."""
        params = {"agent": agent, "seconds": seconds, "slices": slices}
        return self._wire.call(Overview, "GET", "/v1/overview", params=params)

    def get_scale(self, *, agent: str | None = None) -> Scale:
        """How many workers the work wants, and what waits and runs."""
        return self._wire.call(Scale, "GET", "/v1/scale", params={"agent": agent})

    def get_costs(
        self,
        group: Literal["agent", "session", "provider", "model", "day"] = "agent",
        *,
        first_day: str | None = None,
        last_day: str | None = None,
        agent: str | None = None,
        limit: int | None = None,
    ) -> Costs:
        """What model calls have cost on these days (2026-11-28, UTC, both included); without them the month so far."""
        params = {"group": group, "first_day": first_day, "last_day": last_day, "agent": agent, "limit": limit}
        return self._wire.call(Costs, "GET", "/v1/costs", params=params)

    def list_alerts(self) -> AlertPage:
        return self._wire.call(AlertPage, "GET", "/v1/alerts")

    def get_health(self, path: Literal["/healthz", "/readyz"] = "/readyz") -> Any:
        """What the node says of itself; raises ApiError with its reason when it cannot serve."""
        return self._wire.call(dict[str, Any], "GET", path)


def _as_run(found: dict[str, Any]) -> Run:
    return msgspec.convert(found, Run)


def _key(key: str | None, repeatable: bool) -> dict[str, str]:
    if not repeatable and key is None:
        return {}
    return {"Idempotency-Key": key if key is not None else str(uuid.uuid4())}


def _part(text: str) -> str:
    """One part of a path. A lone dot or two would be taken for a way up."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _agent(agent: str, rest: str = "") -> str:
    return f"/v1/agents/{_part(agent)}" + (f"/{rest}" if rest else "")


def _run(run: str, rest: str = "") -> str:
    return f"/v1/runs/{_part(run)}" + (f"/{rest}" if rest else "")


def _schedule(name: str, rest: str = "") -> str:
    return f"/v1/schedules/{_part(name)}" + (f"/{rest}" if rest else "")


def _session(agent: str, key: str, rest: str = "") -> str:
    return _agent(agent, f"sessions/{_part(key)}") + (f"/{rest}" if rest else "")
