"""The table of endpoints: every route there is, with what it takes and what it answers.

The router and the OpenAPI document are both made from it. What every endpoint may answer (a body or query that does
not fit, too much of it, overload, a fault of ours) is not repeated here; `openapi` adds it.
"""

from typing import Any

from pilothouse.communication.http import (
    agent,
    console,
    cost,
    delivery,
    docs,
    evidence,
    feed,
    health,
    hold,
    key,
    node,
    overview,
    policy,
    provider,
    review,
    run,
    scale,
    schedule,
    session,
    signin,
    source,
    websocket,
)
from pilothouse.communication.http.endpoint import Endpoint, Header, Reply
from pilothouse.communication.http.oversight_table import IN_CHARGE
from pilothouse.communication.http.problem import ClientGone, KeysUnavailable, RequestTimeout, UpgradeRequired
from pilothouse.errors import (
    AgentNotFound,
    BadCursor,
    DeadLetterNotFound,
    DeliveryNotFound,
    Held,
    HoldNotFound,
    HostUnavailable,
    IdempotencyMismatch,
    KeyNotFound,
    LimitReached,
    LinkRefused,
    NotKept,
    OverrideConflict,
    PolicyInvalid,
    PolicyNotFound,
    PolicyUnsigned,
    RecordsUnavailable,
    ReviewClosed,
    ReviewNotFound,
    RunActive,
    RunEnded,
    RunExists,
    RunNotFound,
    ScheduleExists,
    ScheduleNotFound,
    ScheduleRefused,
    SessionBusy,
    SessionExists,
    SessionNotFound,
    SignatureRefused,
    SourceNotFound,
    StateConflict,
    StepNotFound,
    TooLarge,
    Unauthenticated,
    Unsupported,
    VoteRefused,
    WebhookRefused,
    WorkerLost,
)
from pilothouse.wire.agent import AgentPage, AgentView
from pilothouse.wire.alert import AlertPage
from pilothouse.wire.cost import CostsView
from pilothouse.wire.delivery import DeliveryPage, DeliveryView
from pilothouse.wire.event import EventPage
from pilothouse.wire.evidence import AuditPage, CheckpointView
from pilothouse.wire.hold import HoldPage, HoldView
from pilothouse.wire.key import KeyPage, KeyView, NewKey, TenantPage
from pilothouse.wire.node import NodeView, SettingPage
from pilothouse.wire.overview import OverviewView
from pilothouse.wire.policy import CheckView, ComparisonView, PolicyState, RulingView
from pilothouse.wire.provider import ProviderPage
from pilothouse.wire.review import DelegationPage, DelegationView, ReviewPage, ReviewView
from pilothouse.wire.run import CancelNoted, RunNow, RunPage, RunView, StepPage
from pilothouse.wire.scale import ScaleView
from pilothouse.wire.schedule import FiringPage, SchedulePage, ScheduleView
from pilothouse.wire.session import HistoryPage, SessionPage, SessionView
from pilothouse.wire.signin import SigninView
from pilothouse.wire.source import DeadLetterPage, SourcePage, TakenPage

PREFER = Header(
    "Prefer", "`respond-async`: answer 202 at once. `wait=N`: answer within N seconds, 202 if the run goes on."
)
LOCATION = Header("Location", "Where to ask for the run.")
APPLIED = Header("Preference-Applied", "What of `Prefer` was understood.")
ETAG = Header("ETag", "The version of the state, in quotes.")
LAST_EVENT_ID = Header(
    "Last-Event-ID", "The `id` of the last event seen: go on after it.", {"type": "string", "pattern": "^[0-9]{1,18}$"}
)
ON_DISCONNECT = Header(
    "X-Cancel-On-Disconnect",
    "`true`: the run is cancelled when this connection is closed before its end. Otherwise it goes on.",
    {"type": "string", "enum": ["true", "false"]},
)
STREAM = Reply("The events as server-sent events.", None, "text/event-stream")
RUN = Reply("The run.", RunView)
RUN_LATER = Reply("The run goes on.", RunView, headers=(LOCATION, APPLIED))


def _either(text: str, kind: Any) -> Reply:
    return Reply(text, kind, "application/json, text/event-stream")


RUNS = (
    Endpoint(
        "POST", "/v1/agents/{agent}/runs", run.start_run, "Start a run",
        {200: _either("The run at its end, or its events.", RunView), 202: RUN_LATER, 204: Reply("Seen to its end.")},
        (AgentNotFound, BadCursor, Held, HostUnavailable, IdempotencyMismatch, RunExists, SessionBusy, Unsupported,
         WebhookRefused, WorkerLost),
        (PREFER, Header("Idempotency-Key", "The same key and body is the same run, for 24 hours.",
                        {"type": "string", "pattern": "^[!-~]{1,255}$"}),
         LAST_EVENT_ID, ON_DISCONNECT),
    ),
    Endpoint("GET", "/v1/runs", run.list_runs, "List runs", {200: Reply("A page of runs.", RunPage)}, (BadCursor,)),
    Endpoint("GET", "/v1/runs/{run}", run.get_run, "Get a run", {200: Reply("The run.", RunNow)}, (RunNotFound,)),
    Endpoint(
        "GET", "/v1/runs/{run}/events", run.read_events, "Read or follow the events of a run",
        {200: _either("The events as a stream, or a page of them with `after`.", EventPage),
         204: Reply("There is nothing after this event and never will be.")},
        (RunNotFound, BadCursor), (LAST_EVENT_ID, ON_DISCONNECT),
    ),
    Endpoint(
        "GET", "/v1/runs/{run}/ws", websocket.follow_run, "Follow the events of a run over WebSocket",
        {101: Reply("Each event is a text message, as an item of a page of events.", media=None)},
        (RunNotFound, BadCursor, UpgradeRequired), (LAST_EVENT_ID,),
    ),
    Endpoint(
        "GET", "/v1/runs/{run}/steps", run.list_steps, "List the steps of a run",
        {200: Reply("A page of steps.", StepPage)}, (RunNotFound, BadCursor),
    ),
    Endpoint(
        "POST", "/v1/runs/{run}/cancel", run.cancel_run, "Cancel a run",
        {200: Reply("The run has ended.", RunView),
         202: Reply("The run will end, or is not known yet and would end at once.", RunView | CancelNoted)},
        (RunNotFound,), is_body_optional=True,
    ),
    Endpoint(
        "POST", "/v1/runs/{run}/retry", run.retry_run, "Retry a run as a new one that keeps its finished steps",
        {200: RUN, 202: RUN_LATER},
        (RunNotFound, AgentNotFound, RunActive, RunEnded, NotKept, HostUnavailable), (PREFER,), is_body_optional=True,
    ),
    Endpoint(
        "POST", "/v1/runs/{run}/fork", run.fork_run, "Fork a run at a step",
        {200: RUN, 202: RUN_LATER},
        (RunNotFound, AgentNotFound, StepNotFound, NotKept, HostUnavailable), (PREFER,), is_body_optional=True,
    ),
    Endpoint(
        "POST", "/v1/runs/{run}/signals/{name}", run.send_signal, "Send a signal to a run",
        {202: Reply("The signal is kept.", RunView)}, (RunNotFound, RunEnded, NotKept, LimitReached),
        is_body_optional=True,
    ),
)  # fmt: skip

SESSION = "/v1/agents/{agent}/sessions/{key}"
STATE = Reply("The state.", {"type": "object"}, headers=(ETAG,))
SESSIONS = (
    Endpoint("GET", "/v1/agents/{agent}/sessions", session.list_sessions, "List the sessions of an agent",
             {200: Reply("A page of sessions.", SessionPage)}, (BadCursor, AgentNotFound), tag="sessions"),
    Endpoint("GET", SESSION, session.get_session, "Get a session", {200: Reply("The session.", SessionView)},
             (SessionNotFound,), tag="sessions"),
    Endpoint("DELETE", SESSION, session.delete_session, "Delete a session with its turns", {204: Reply("It is gone.")},
             (SessionNotFound, SessionBusy), tag="sessions"),
    Endpoint("GET", f"{SESSION}/history", session.list_history, "List the turns of a session",
             {200: Reply("A page of turns.", HistoryPage)}, (SessionNotFound, BadCursor), tag="sessions"),
    Endpoint("GET", f"{SESSION}/state", session.read_state, "Get the state of a session",
             {200: STATE, 304: Reply("It is the version of If-None-Match.", headers=(ETAG,))},
             (SessionNotFound,), (Header("If-None-Match", "An ETag: answer 304 when that is still the version."),),
             tag="sessions"),
    Endpoint("PATCH", f"{SESSION}/state", session.write_state, "Change the state by a JSON merge patch (RFC 7396)",
             {200: STATE}, (SessionNotFound, SessionBusy, StateConflict),
             (Header("If-Match", "An ETag: change nothing unless the state is that version."),), tag="sessions"),
    Endpoint("POST", f"{SESSION}/fork", session.fork_session, "Fork a session",
             {201: Reply("The new session.", SessionView)}, (SessionNotFound, SessionExists), tag="sessions"),
)  # fmt: skip

OVERSIGHT = (
    Endpoint("GET", "/v1/agents", agent.list_agents, "List agents", {200: Reply("All agents.", AgentPage)},
             tag="agents"),
    Endpoint("GET", "/v1/agents/{agent}", agent.get_agent, "Get an agent with its schemas",
             {200: Reply("The agent.", AgentView)}, (AgentNotFound,), tag="agents"),
    Endpoint("GET", "/v1/reviews", review.list_reviews, "List reviews", {200: Reply("A page of reviews.", ReviewPage)},
             (BadCursor,), tag="reviews"),
    Endpoint("GET", "/v1/reviews/{review}", review.get_review, "Get a review", {200: Reply("The review.", ReviewView)},
             (ReviewNotFound,), tag="reviews"),
    Endpoint("POST", "/v1/reviews/{review}/decision", review.decide_review, "Decide a review",
             {200: Reply("The review, with its answer once it has one.", ReviewView)},
             (ReviewNotFound, ReviewClosed, VoteRefused, OverrideConflict, RunActive, AgentNotFound), tag="reviews"),
    Endpoint("POST", "/v1/runs/{run}/appeals", review.file_appeal, "Appeal against what a run came to",
             {201: Reply("The review that the appeal became.", ReviewView)},
             (RunNotFound, RunActive, NotKept, LimitReached), tag="reviews", scope="runs:write"),
    Endpoint("POST", "/v1/incidents", review.open_incident, "Open an incident",
             {201: Reply("The review that the incident became.", ReviewView)},
             (RunNotFound, AgentNotFound, LimitReached), tag="reviews"),
    Endpoint("GET", "/v1/review-links/{link}", review.open_link, "Open a review by a signed link",
             {200: Reply("The review that the link names.", ReviewView),
              303: Reply("Its page in the console, for a browser.")}, (LinkRefused, Unauthenticated), tag="signin"),
    Endpoint("GET", "/v1/delegations", review.list_delegations, "List delegations of votes",
             {200: Reply("Those that are not ended.", DelegationPage)}, tag="reviews"),
    Endpoint("POST", "/v1/delegations", review.delegate, "Let somebody vote in your name",
             {201: Reply("The delegation.", DelegationView)}, tag="reviews"),
    Endpoint("DELETE", "/v1/delegations/{delegation}", review.end_delegation, "End a delegation",
             {204: Reply("It has ended.")}, tag="reviews"),
    Endpoint("GET", "/v1/audit", evidence.read_audit, "Read the audit log",
             {200: Reply("A page of entries, each the bytes of a leaf of the tree.", AuditPage)}, tag="audit"),
    Endpoint("GET", "/v1/audit/checkpoint", evidence.get_checkpoint, "A signed checkpoint over the audit log",
             {200: Reply("The checkpoint.", CheckpointView)}, (Unsupported,), tag="audit"),
)  # fmt: skip

DELIVERY = Reply("The delivery.", DeliveryView)
SCHEDULE = Reply("The schedule.", ScheduleView)
ONE_SOURCE = "/v1/sources/{source}"
MESSAGE_HEADERS = (
    Header("ce-id", "With `ce-source`, `ce-type` and `ce-specversion`: a CloudEvent in binary form."),
    Header("Idempotency-Key", "Of a message that is no CloudEvent: the same key is the same message."),
)
ONE_SCHEDULE = "/v1/schedules/{schedule}"
WORLD = (
    Endpoint("GET", "/v1/deliveries", delivery.list_deliveries, "List deliveries",
             {200: Reply("A page of deliveries.", DeliveryPage)}, (BadCursor,), tag="deliveries"),
    Endpoint("GET", "/v1/deliveries/{delivery}", delivery.get_delivery, "Get a delivery", {200: DELIVERY},
             (DeliveryNotFound,), tag="deliveries"),
    Endpoint("POST", "/v1/deliveries/{delivery}/retry", delivery.retry_delivery, "Deliver once more",
             {202: DELIVERY}, (DeliveryNotFound,), tag="deliveries"),
    Endpoint("GET", "/v1/sources", source.list_sources, "List sources",
             {200: Reply("All sources.", SourcePage)}, tag="sources"),
    Endpoint("POST", f"{ONE_SOURCE}/messages", source.post_message, "Post a message to a source",
             {202: Reply("What became of it is durable.", TakenPage)},
             (SourceNotFound, SignatureRefused, KeysUnavailable, TooLarge, RequestTimeout, ClientGone), MESSAGE_HEADERS,
             tag="messages"),
    Endpoint("GET", f"{ONE_SOURCE}/dead", source.list_dead, "List the dead letters of a source",
             {200: Reply("A page of dead letters.", DeadLetterPage)}, (SourceNotFound, BadCursor), tag="sources"),
    Endpoint("POST", f"{ONE_SOURCE}/replay", source.replay_dead, "Replay dead letters of a source",
             {200: Reply("What became of each.", TakenPage)}, (SourceNotFound, DeadLetterNotFound), tag="sources",
             is_body_optional=True),
    Endpoint("GET", "/v1/schedules", schedule.list_schedules, "List schedules",
             {200: Reply("A page of schedules.", SchedulePage)}, (BadCursor,), tag="schedules"),
    Endpoint("POST", "/v1/schedules", schedule.make_schedule, "Make a schedule", {201: SCHEDULE},
             (AgentNotFound, ScheduleExists, ScheduleRefused), tag="schedules"),
    Endpoint("GET", ONE_SCHEDULE, schedule.get_schedule, "Get a schedule", {200: SCHEDULE},
             (ScheduleNotFound,), tag="schedules"),
    Endpoint("DELETE", ONE_SCHEDULE, schedule.delete_schedule, "Delete a schedule", {204: Reply("It is gone.")},
             (ScheduleNotFound,), tag="schedules"),
    Endpoint("GET", f"{ONE_SCHEDULE}/firings", schedule.list_firings, "List the next firings of a schedule",
             {200: Reply("The next firings.", FiringPage)}, (ScheduleNotFound,), tag="schedules"),
    Endpoint("POST", f"{ONE_SCHEDULE}/pause", schedule.pause_schedule, "Pause a schedule", {200: SCHEDULE},
             (ScheduleNotFound,), tag="schedules"),
    Endpoint("POST", f"{ONE_SCHEDULE}/resume", schedule.resume_schedule, "Resume a schedule", {200: SCHEDULE},
             (ScheduleNotFound,), tag="schedules"),
    Endpoint("POST", f"{ONE_SCHEDULE}/run", schedule.run_schedule, "Fire a schedule now", {202: RUN_LATER},
             (ScheduleNotFound, AgentNotFound, HostUnavailable), tag="schedules"),
)  # fmt: skip

HOLDS = (
    Endpoint("GET", "/v1/holds", hold.list_holds, "List holds", {200: Reply("A page of holds.", HoldPage)},
             (BadCursor,), tag="holds"),
    Endpoint("POST", "/v1/holds", hold.place_hold, "Stop agents, tools or runs",
             {201: Reply("The hold.", HoldView)}, tag="holds"),
    Endpoint("DELETE", "/v1/holds/{hold}", hold.lift_hold, "Lift a hold",
             {200: Reply("The hold, lifted or with who has asked to lift it so far.", HoldView)},
             (HoldNotFound, StateConflict), tag="holds"),
)  # fmt: skip

POLICY_PROBLEMS = (PolicyInvalid, Unsupported)
POLICIES = (
    Endpoint("GET", "/v1/policies", policy.get_policies, "Get the active policies",
             {200: Reply("The policies, if any are active.", PolicyState)}, tag="policies"),
    Endpoint("PUT", "/v1/policies", policy.activate_policies, "Make policies the active ones",
             {200: Reply("What is active now, and how recent actions compare.", {"type": "object"})},
             (*POLICY_PROBLEMS, PolicyUnsigned, StateConflict), tag="policies"),
    Endpoint("DELETE", "/v1/policies", policy.deactivate_policies, "Have no policies any more",
             {204: Reply("None are active.")}, tag="policies"),
    Endpoint("GET", "/v1/policies/schema", policy.get_policy_schema, "What policies can speak about",
             {200: Reply("A Cedar schema in JSON.", {"type": "object"})}, (Unsupported,), tag="policies"),
    Endpoint("POST", "/v1/policies/check", policy.check_policies, "Check policies against the tools",
             {200: Reply("What is wrong with them.", CheckView)}, (Unsupported,), tag="policies", scope="audit:read"),
    Endpoint("POST", "/v1/policies/compare", policy.compare_policies, "Compare policies with the active ones",
             {200: Reply("What would have become of recent actions.", ComparisonView)}, POLICY_PROBLEMS,
             tag="policies", scope="audit:read"),
    Endpoint("POST", "/v1/policies/explain", policy.explain_policies, "How an action would be ruled on",
             {200: Reply("The ruling.", RulingView)}, (*POLICY_PROBLEMS, PolicyNotFound), tag="policies",
             scope="audit:read"),
)  # fmt: skip

KEYS = (
    Endpoint("GET", "/v1/keys", key.list_keys, "List API keys", {200: Reply("A page of keys.", KeyPage)}, (BadCursor,),
             tag="keys"),
    Endpoint("POST", "/v1/keys", key.create_key, "Make an API key",
             {201: Reply("The key, with its text this once.", NewKey)}, tag="keys"),
    Endpoint("GET", "/v1/tenants", key.list_tenants, "List the tenants that have keys",
             {200: Reply("All of them.", TenantPage)}, tag="keys", scope="tenants:write"),
    Endpoint("POST", "/v1/keys/{id}/rotate", key.rotate_key, "Make a new key in the place of one",
             {201: Reply("The new key, with its text this once.", NewKey)}, (KeyNotFound, StateConflict), tag="keys",
             is_body_optional=True),
    Endpoint("DELETE", "/v1/keys/{id}", key.revoke_key, "Revoke an API key",
             {200: Reply("The key, which opens nothing any more.", KeyView)}, (KeyNotFound,), tag="keys"),
)  # fmt: skip

SIGNIN = (
    Endpoint("GET", "/v1/signin", signin.get_signin, "Who asks", {200: Reply("The principal.", SigninView)},
             tag="signin"),
    Endpoint("POST", "/v1/signin", signin.sign_in, "Exchange a key for a cookie",
             {200: Reply("The principal, and a cookie where keys are asked for.", SigninView)}, (Unauthenticated,),
             tag="signin"),
    Endpoint("DELETE", "/v1/signin", signin.sign_out, "Revoke the cookie", {204: Reply("It is revoked.")},
             tag="signin"),
)  # fmt: skip

NODE = (
    Endpoint("GET", "/v1/node", node.get_node, "How the worker of this node stands",
             {200: Reply("The node.", NodeView)}, tag="node", scope="metrics:read"),
    Endpoint("GET", "/v1/settings", node.list_settings, "List what this node was told",
             {200: Reply("All settings.", SettingPage)}, tag="node", scope="audit:read"),
    Endpoint("GET", "/v1/overview", overview.get_overview, "How things stand, and went",
             {200: Reply("The figures of a span of time.", OverviewView)}, tag="node", scope="runs:read"),
    Endpoint("GET", "/v1/scale", scale.get_scale, "How many workers the work wants",
             {200: Reply("What waits and runs, and how many workers that wants.", ScaleView)}, (AgentNotFound,),
             tag="node", scope="metrics:read"),
    Endpoint("GET", "/v1/costs", cost.get_costs, "What model calls have cost, and what the month will come to",
             {200: Reply("The sums of the days.", CostsView)}, tag="node", scope="metrics:read"),
    Endpoint("GET", "/v1/feed", feed.follow_feed, "Hear which runs change",
             {200: Reply("Hints as server-sent events; nothing of them is kept.", feed.SCHEMA, "text/event-stream")},
             tag="node", scope="runs:read"),
    Endpoint("GET", "/healthz", health.get_health, "Whether the process lives",
             {200: Reply("It does.", health.Health)}, tag="node"),
    Endpoint("GET", "/readyz", health.get_readiness, "Whether the node can serve",
             {200: Reply("It can.", health.Health)}, (RecordsUnavailable,), tag="node"),
    Endpoint("GET", "/metrics", health.get_metrics, "Prometheus metrics",
             {200: Reply("The metrics as text.", None, "text/plain")}, tag="node", scope="metrics:read"),
    Endpoint("GET", "/v1/providers", provider.list_providers, "List the models that agents call, with their state",
             {200: Reply("All models that this node has been asked for.", ProviderPage)}, tag="node",
             scope="metrics:read"),
    Endpoint("GET", "/v1/alerts", health.list_alerts, "List the objectives that are being missed",
             {200: Reply("All alerts that fire, of all nodes, pages first.", AlertPage)}, (RecordsUnavailable,),
             tag="node", scope="metrics:read"),
    Endpoint("GET", "/openapi.json", docs.get_document, "This document",
             {200: Reply("OpenAPI 3.1.", {"type": "object"})}, tag="node"),
)  # fmt: skip

DESCRIBED = (
    *RUNS,
    *SESSIONS,
    *OVERSIGHT,
    *WORLD,
    *HOLDS,
    *IN_CHARGE,
    *POLICIES,
    *KEYS,
    *SIGNIN,
    *NODE,
)
PAGES = (
    Endpoint("GET", "/", console.get_front_page, "The console", {}),
    Endpoint("GET", "/assets/{name}", console.get_asset, "What the console loads", {}),
    Endpoint("GET", "/licenses.txt", console.get_licenses, "The licences of what is in the console", {}),
    Endpoint("GET", "/docs", docs.get_docs_page, "The reference", {}),
    Endpoint("GET", "/docs/{name}", docs.get_docs_part, "What the page of the reference loads", {}),
)  # fmt: skip
