"""The OpenAPI document taken at its word: requests made from it, good and bad, find no 500 and no broken promise.

schemathesis checks every answer against the document: its status, its headers, its body, and whether bad input is
refused. Half of the requests speak of things that are there. Excluded: that all input of the right shape is taken,
since no schema says which cursors a list gave out or which agents have sessions.
"""

import itertools
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pilothouse.communication.http.openapi import make_document
from pilothouse.communication.http.options import HttpOptions
from pilothouse.communication.http.table import DESCRIBED
from pilothouse.domain.delivery import Receiver, Receivers
from tests.server.node import Front, Served, serve_node

pytestmark = [
    pytest.mark.slow,
    # The node runs in this process and draws random numbers while hypothesis looks whether somebody does.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module"),
]

AGENTS = ("echo", "shape", "spell", "boom", "diary", "digest")
COUNT = itertools.count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A node of its own: what is made here at random may be a key, and whoever has none is shut out from then on."""
    with serve_node(tmp_path_factory.mktemp("schemathesis")) as served:
        yield served


@pytest.fixture(scope="module")
def front(served) -> Iterator[Front]:
    with served.front(HttpOptions(end_within=0.2, heartbeat_every=0.1)) as front:
        yield front


@pytest.fixture(scope="module")
def known(served) -> dict[str, list[str]]:
    """What is there: runs that have ended, a session, a review, a delivery to a receiver that nobody knows."""
    world = served.node.world
    world.receivers, before = Receivers((Receiver(name="nobody"),)), world.receivers
    runs = [
        served.post(agent, input, headers={"Prefer": "wait=10"}).json()["id"]
        for agent, input in (("echo", {"a": 1}), ("digest", "a\nb"), ("spell", "abc"), ("boom", 0))
    ]
    world.receivers = before
    deliveries = [one["id"] for one in served.http.get("/v1/deliveries").json()["items"]]
    assert deliveries
    served.post("diary", "x", session="known")
    asked = served.post("ask", "?", headers={"Prefer": "respond-async"}).json()["id"]
    reviews: list[dict] = []
    while not reviews:
        reviews = served.http.get("/v1/reviews", params={"run": asked}).json()["items"]
    reviewed = [reviews[0]["id"]]
    known = {"agent": list(AGENTS), "run": runs, "key": ["known"], "review": reviewed, "name": ["go"]}
    served.http.post("/v1/schedules", json={"name": "known", "agent": "digest", "every_seconds": 86400})
    held = served.http.post("/v1/holds", json={"agent": "nobody", "reason": "known"}).json()["id"]
    given = served.http.post("/v1/delegations", json={"to": "bob", "roles": ["legal"], "seconds": 3600}).json()["id"]
    known |= {"hold": [held], "delegation": [given], "link": ["known.link"]}
    served.http.post(f"/v1/runs/{runs[0]}/feedback", json={"kind": "thumb", "value": 1})
    served.http.post("/v1/datasets/known", json={"agent": "echo"})
    known |= {"dataset": ["known"], "number": ["1", "last"], "subject": ["known"]}
    known |= {"audit": ["bias_known"], "finding": ["fnd_known"], "evaluation": ["evl_known"]}
    return known | {"delivery": deliveries, "schedule": ["known"], "source": ["nobody"], "id": ["0123456789abcdef"]}


schema = schemathesis.openapi.from_dict(make_document(DESCRIBED))


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_document_is_true(case: Case, front, known):
    number = next(COUNT)
    for name, value in dict(case.path_parameters or {}).items():
        there = known[name]
        if number % 2 or value in ("vigil", "hold", "ask", "flood"):
            case.path_parameters[name] = there[number // 2 % len(there)]
    if case.query and "wait" in case.query:
        case.query["wait"] = "0.05" if str(case.query["wait"]).isdigit() else case.query["wait"]
    case.call_and_validate(base_url=f"http://127.0.0.1:{front.port}", excluded_checks=[positive_data_acceptance])
