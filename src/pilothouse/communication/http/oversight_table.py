"""The endpoints of people in charge after the fact: overrides, sampling, bias audits.

Part of the table of all endpoints; see `table` for what is not repeated here.
"""

from pilothouse.communication.http import bias, erasure, example, override, sampling
from pilothouse.communication.http.endpoint import Endpoint, Reply
from pilothouse.errors import (
    AgentNotFound,
    BadCursor,
    Held,
    HostUnavailable,
    LimitReached,
    NotDeclared,
    NotKept,
    NotOnRecord,
    OverrideConflict,
    ReviewNotFound,
    RunActive,
    RunNotFound,
    SessionBusy,
    StateConflict,
    TooLarge,
)
from pilothouse.wire.bias import BiasAuditPage, BiasAuditView, FindingPage, FindingView, GroupsNoted
from pilothouse.wire.erasure import ErasedView
from pilothouse.wire.evaluation import ComparisonOfEvaluations, EvaluationPage, EvaluationView
from pilothouse.wire.example import ContentsView, ExamplePage, ExampleView, VersionPage, VersionView
from pilothouse.wire.override import OverridePage
from pilothouse.wire.review import ReviewView
from pilothouse.wire.run import RunView
from pilothouse.wire.sampling import PlanView, ReviewerPage

OVERRIDE_PROBLEMS = (
    RunNotFound,
    RunActive,
    OverrideConflict,
    NotKept,
    LimitReached,
    AgentNotFound,
    HostUnavailable,
    Held,
)
OVERRIDES = (
    Endpoint("POST", "/v1/runs/{run}/override", override.override_run, "Supersede the outcome of a run",
             {200: Reply("The run, with what is in force.", RunView)}, OVERRIDE_PROBLEMS, tag="overrides"),
    Endpoint("GET", "/v1/runs/{run}/overrides", override.list_run_overrides, "List the overrides of a run",
             {200: Reply("All overrides.", OverridePage)}, (RunNotFound,), tag="overrides", scope="runs:read"),
    Endpoint("POST", "/v1/reviews/{review}/override", override.override_review, "Supersede the answer of a review",
             {200: Reply("The review, with the answer in force.", ReviewView)}, (ReviewNotFound, *OVERRIDE_PROBLEMS),
             tag="overrides"),
    Endpoint("GET", "/v1/reviews/{review}/overrides", override.list_review_overrides, "List the overrides of a review",
             {200: Reply("All overrides.", OverridePage)}, (ReviewNotFound,), tag="overrides"),
)  # fmt: skip

PLAN = "/v1/agents/{agent}/sampling"
SAMPLING = (
    Endpoint("GET", PLAN, sampling.get_sampling, "How runs of an agent are sampled",
             {200: Reply("The plan.", PlanView)}, (NotOnRecord,), tag="sampling"),
    Endpoint("PUT", PLAN, sampling.set_sampling, "Say how runs of an agent are sampled",
             {200: Reply("The plan.", PlanView)}, (AgentNotFound, StateConflict), tag="sampling"),
    Endpoint("DELETE", PLAN, sampling.drop_sampling, "Sample no more runs of an agent", {204: Reply("None are.")},
             (NotOnRecord, StateConflict), tag="sampling"),
    Endpoint("POST", f"{PLAN}/known", sampling.seed_case, "Put a known case among those to be reviewed",
             {204: Reply("It is among the others.")}, (NotOnRecord,), tag="sampling"),
    Endpoint("GET", f"{PLAN}/reviewers", sampling.list_reviewers, "How reviewers judged known cases",
             {200: Reply("All who judged one.", ReviewerPage)}, (NotOnRecord,), tag="sampling", scope="audit:read"),
)  # fmt: skip

BIAS = (
    Endpoint("PUT", "/v1/runs/{run}/groups", bias.record_groups, "Record the groups of whom a run is about",
             {200: Reply("Which attributes are recorded, not what they are.", GroupsNoted)},
             (RunNotFound, AgentNotFound, NotDeclared, StateConflict), tag="bias", scope="groups:write"),
    Endpoint("POST", "/v1/agents/{agent}/bias", bias.audit_bias, "Audit the decisions of an agent",
             {201: Reply("The figures.", BiasAuditView)}, (AgentNotFound, NotDeclared, LimitReached, StateConflict),
             tag="bias", is_body_optional=True),
    Endpoint("GET", "/v1/bias/audits", bias.list_audits, "List bias audits",
             {200: Reply("A page of audits.", BiasAuditPage)}, (BadCursor,), tag="bias"),
    Endpoint("GET", "/v1/bias/audits/{audit}", bias.get_audit, "Get a bias audit",
             {200: Reply("The figures.", BiasAuditView)}, (NotOnRecord,), tag="bias"),
    Endpoint("GET", "/v1/bias/findings", bias.list_findings, "List findings",
             {200: Reply("A page of findings.", FindingPage)}, (BadCursor,), tag="bias"),
    Endpoint("POST", "/v1/bias/findings/{finding}", bias.move_finding, "Say what becomes of a finding",
             {200: Reply("The finding.", FindingView)}, (NotOnRecord, StateConflict), tag="bias"),
)  # fmt: skip

ONE_DATASET, ONE_EVALUATION = "/v1/datasets/{dataset}", "/v1/evaluations/{evaluation}"
EXAMPLES = (
    Endpoint("POST", "/v1/runs/{run}/feedback", example.give_feedback, "Say what you think of a run",
             {201: Reply("The example that it became.", ExampleView)}, (RunNotFound, RunActive, TooLarge),
             tag="examples", scope="runs:write"),
    Endpoint("GET", "/v1/examples", example.list_examples, "List examples",
             {200: Reply("A page of examples.", ExamplePage)}, (BadCursor,), tag="examples"),
    Endpoint("DELETE", "/v1/subjects/{subject}", erasure.erase_subject, "Erase a subject",
             {200: Reply("How much went.", ErasedView)}, (Held, RunActive, SessionBusy, LimitReached), tag="subjects"),
    Endpoint("GET", "/v1/datasets", example.list_datasets, "List versions of datasets",
             {200: Reply("All versions.", VersionPage)}, tag="examples"),
    Endpoint("POST", ONE_DATASET, example.make_version, "Make the next version of a dataset",
             {201: Reply("The version; the last one when nothing changed.", VersionView)},
             (LimitReached, StateConflict), tag="examples"),
    Endpoint("GET", f"{ONE_DATASET}/{{number}}", example.read_version, "Read a version of a dataset",
             {200: Reply("The version with its examples.", ContentsView)}, (NotOnRecord,), tag="examples"),
    Endpoint("POST", "/v1/evaluations", example.keep_evaluation, "Keep what a release scored",
             {201: Reply("The evaluation.", EvaluationView)}, (NotOnRecord,), tag="examples"),
    Endpoint("GET", "/v1/evaluations", example.list_evaluations, "List evaluations",
             {200: Reply("A page of evaluations.", EvaluationPage)}, (BadCursor,), tag="examples"),
    Endpoint("GET", ONE_EVALUATION, example.get_evaluation, "Get an evaluation",
             {200: Reply("The evaluation.", EvaluationView)}, (NotOnRecord,), tag="examples"),
    Endpoint("GET", f"{ONE_EVALUATION}/comparison", example.compare_evaluations, "Compare an evaluation with another",
             {200: Reply("The differences.", ComparisonOfEvaluations)}, (NotOnRecord,), tag="examples"),
)  # fmt: skip

IN_CHARGE = (*OVERRIDES, *SAMPLING, *BIAS, *EXAMPLES)
