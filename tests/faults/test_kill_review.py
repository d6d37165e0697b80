"""kill -9 of the node and of the host at every step of a review: asked, notified, after the first vote, during the
second, escalated, decided, resumed, acted. Afterwards each has one outcome and one act, and the log is whole.

One run stands at each step and one kill strikes all of them. The tool is declared `once`: whether it happened when
nobody saw its end is a question to a person, and the receiver knows the answer.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.client import Caller, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

STEPS = ("asked", "notified", "first", "second", "escalated", "decided", "resumed", "acted")
SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="
RULES = """
@id("move") @review("legal") @quorum("2") @within("1h")
permit (principal, action == Action::"move_money", resource) when { context.arguments.order != "escalated" };
@id("slow") @review("legal") @quorum("2") @within("1h") @escalate("chief after 1s")
permit (principal, action == Action::"move_money", resource) when { context.arguments.order == "escalated" };
"""


class Bell:
    """Hears of questions: the ids of the posts, by run."""

    def __init__(self):
        heard = self.heard = defaultdict(set)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                heard[body["data"]["run"]].add(self.headers["webhook-id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, format, *args): ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    async def has_heard(self, run, count):
        """Of so many questions: what goes out of the outbox comes after the run that asked."""
        return len(self.heard[run]) == count

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def bell():
    made = Bell()
    yield made
    made.close()


class People:
    """Who asks the node, each with a key."""

    def __init__(self, caller: Caller):
        self.caller = caller
        self.keys = {}

    async def hire(self):
        self.keys["root"] = await self._key("root", ["*"], ["*"])
        self.caller._http.headers["authorization"] = f"Bearer {self.keys['root']}"
        for name, role in (("ada", "legal"), ("bob", "legal"), ("chief", "chief")):
            self.keys[name] = await self._key(name, ["reviews:read", "reviews:decide"], [role])

    async def _key(self, name, scopes, roles):
        wanted = {"name": name, "kind": "human", "scopes": scopes, "roles": roles}
        answer = await self.caller.ask("POST", "/v1/keys", wanted)
        assert answer.status == 201, answer
        return answer.body["text"]

    async def reviews(self, run):
        answer = await self.caller.ask("GET", f"/v1/reviews?run={run}")
        return answer.body["items"]

    async def asked(self, run):
        found = []

        async def look():
            found[:] = [one for one in await self.reviews(run) if one["status"] == "open"]
            return bool(found)

        await wait_until(look, tell=lambda: f"{run} asks nobody")
        return found[0]

    async def vote(self, run, who, verdict="approve", **more):
        """The status of the review afterwards, or the code of what it was refused for."""
        review = await self.asked(run)
        return await self.say(review["id"], who, verdict, **more)

    async def say(self, review, who, verdict="approve", **more):
        answer = await self.caller.ask(
            "POST", f"/v1/reviews/{review}/decision", {"verdict": verdict, **more},
            authorization=f"Bearer {self.keys[who]}",
        )  # fmt: skip
        return answer.body["status"] if answer.status == 200 else answer.body["code"]

    async def log(self):
        found, after = [], 0
        while True:
            answer = await self.caller.ask("GET", f"/v1/audit?after={after}&limit=1000")
            assert answer.status == 200, answer
            page = [json.loads(one) if isinstance(one, str) else one for one in answer.body["items"]]
            found += page
            if not page or answer.body.get("next_cursor") is None:
                return found
            after = answer.body["next_cursor"]


async def stand(people, receiver, bell):
    """Every run at its step; gives the gates, and the vote that is on its way."""
    caller = people.caller
    gates = [receiver.hold("run_resumed", "move", "before"), receiver.hold("run_acted", "move", "after")]
    for step in STEPS:
        await caller.start_known("move", f"run_{step}", step)
    for step in STEPS:
        await people.asked(f"run_{step}")

    async def is_heard():
        return bool(bell.heard["run_notified"])

    async def has_escalated():
        return any(one["kind"] == "review.escalated" for one in await people.log())

    await wait_until(is_heard)
    await wait_until(has_escalated)
    for step in ("first", "second", "decided", "resumed", "acted"):
        assert await people.vote(f"run_{step}", "ada") == "open"
    placed = await caller.ask("POST", "/v1/holds", {"effect": "pause", "run": "run_decided", "reason": "x"})
    assert placed.status == 201, placed
    for step in ("decided", "resumed", "acted"):
        assert await people.vote(f"run_{step}", "bob") == "decided"
    for gate in gates:
        await gate.wait_reached()
    review = await people.asked("run_second")
    return gates, placed.body["id"], asyncio.create_task(people.say(review["id"], "bob"))


async def finish(people, hold):
    """Whoever has not voted does; whether the tool ran where nobody saw its end is told by who knows it."""
    for step in ("asked", "notified"):
        assert await people.vote(f"run_{step}", "ada") == "open"
        assert await people.vote(f"run_{step}", "bob") == "decided"
    assert await people.vote("run_first", "ada") == "vote_refused", "the vote before the kill was counted"
    assert await people.vote("run_first", "bob") == "decided"
    assert await people.vote("run_escalated", "chief") == "open"
    assert await people.vote("run_escalated", "ada") == "decided"
    if (await people.reviews("run_second"))[0]["status"] == "open":
        assert await people.vote("run_second", "bob") == "decided"
    lifted = await people.caller.ask("DELETE", f"/v1/holds/{hold}")
    assert lifted.status == 200, lifted
    assert await people.vote("run_resumed", "root", "approve") == "decided"
    assert await people.vote("run_acted", "root", "edit", edited="moved for acted") == "decided"


@pytest.mark.parametrize("victim", ["node", "host"])
async def test_a_kill_at_any_step_of_a_review_leaves_one_outcome_one_act_and_a_whole_log(
    serve, receiver, bell, victim, tmp_path
):
    settings = f"""[worker]
threads = 16
park_after_seconds = 0.1
[deliveries]
secret = "{SECRET}"
loopback = true
[receivers.bell]
url = "{bell.url}"
events = ["review.requested"]
"""
    node = serve(settings)
    people = People(node.caller)
    await node.start()
    await people.hire()
    rules = await node.caller.ask("PUT", "/v1/policies", {"text": RULES, "signed": True})
    assert rules.status == 200, rules
    gates, hold, late = await stand(people, receiver, bell)
    if victim == "node":
        await node.kill()
    else:
        await node.kill_hosts()
    await asyncio.gather(late, return_exceptions=True)
    for gate in gates:
        gate.drop()
    if victim == "node":
        await node.start()
    await finish(people, hold)
    for step in STEPS:
        ended = await node.caller.wait_end(f"run_{step}")
        assert (ended["status"], ended["output"]) == ("succeeded", f"moved for {step}")
        assert len(receiver.of(f"run_{step}", "move")) == 1
        asked = len(await people.reviews(f"run_{step}"))
        await wait_until(partial(bell.has_heard, f"run_{step}", asked))
    check_log(await people.log())
    verify(node, people, tmp_path)


def check_log(log):
    assert [one["seq"] for one in log] == list(range(1, len(log) + 1))
    for step in STEPS:
        of = [one for one in log if one.get("run") == f"run_{step}" or one["id"] == f"run_{step}"]
        actions = [one["kind"] for one in of if one["kind"].startswith("action.")]
        outcomes = [kind for kind in actions if kind in ("action.done", "action.failed", "action.unknown")]
        assert actions.count("action.allowed") == len(outcomes), (step, actions)
        assert outcomes.count("action.done") == 1, (step, actions)
        votes = [(one["id"], one["by"]) for one in of if one["kind"] == "review.voted"]
        assert len(votes) == len(set(votes)) == 2, (step, votes)
        closed = [one["id"] for one in of if one["kind"] in ("review.decided", "review.expired")]
        assert len(closed) == len(set(closed)), (step, closed)
        assert [one["kind"] for one in of].count("run.succeeded") == 1


def verify(node, people, folder):
    """As on another machine, with the public key alone."""
    environment = {**os.environ, "PILOTHOUSE_URL": node.url, "PILOTHOUSE_KEY": people.keys["root"]}

    def audit(*words):
        done = subprocess.run(
            [sys.executable, "-m", "pilothouse", "audit", *words], cwd=folder, env=environment, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    key = audit("key")
    audit("export", "audit.jsonl")
    audit("verify", "audit.jsonl", "--key", key)


def test_the_check_of_the_log_finds_a_second_act_a_lost_outcome_and_a_gap():
    whole = []
    for step in STEPS:
        run = f"run_{step}"
        for kind, id in (
            ("action.asked", "act"), ("review.voted", "rev"), ("review.voted", "rev"), ("review.decided", "rev"),
            ("action.allowed", "act"), ("action.done", "act"), ("run.succeeded", run),
        ):  # fmt: skip
            by = f"p{len(whole)}"
            whole.append(
                {"seq": len(whole) + 1, "kind": kind, "id": id if id == run else f"{id}_{step}", "run": run, "by": by}
            )
    check_log(whole)
    done = next(one for one in whole if one["kind"] == "action.done")
    twice = [*whole, {**done, "seq": len(whole) + 1}]
    lost = [{**one, "kind": "run.waiting"} if one is done else one for one in whole]
    for broken in (twice, lost, whole[1:]):
        with pytest.raises(AssertionError):
            check_log(broken)
