"""What the tests of all bridges share: a project whose agents are in the environment of their framework, a model server
whose answers follow from what was asked, and the one question of every kill test: was anything done twice?

The stage of a conversation is how many tool results its request holds. A script answers by that, so that a request that
is repeated after a kill gets the same answer, and gates are placed by it.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from pathlib import Path
from typing import Any, Self

from pilothouse.testing import Answer, Gate, ModelRequest, ScriptedModel, ToolCall
from tests.faults.client import Answer as Told
from tests.faults.client import Caller, wait_until
from tests.faults.receiver import Receiver
from tests.faults.served import ServedNode

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests" / "frameworks"
LOADS_WITHIN = 180.0
"""Seconds that a host which was killed may take to import its framework again on a busy machine."""


def environment_of(framework: str) -> Path:
    folder = ROOT / ".venv-frameworks" / framework
    assert (folder / "made").exists(), f"run `make frameworks`: {folder} is not there"
    return folder


def write_project(folder: Path, framework: str, agents: Mapping[str, str], settings: str = "") -> Path:
    """A project with the modules of `tests/frameworks/<framework>/agents`. `agents`: lines of settings by name."""
    shutil.copytree(HERE / framework / "agents", folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "outside.py", folder)
    tables = [f'[agents.{name}]\nenvironment = "{environment_of(framework)}"\n{more}' for name, more in agents.items()]
    (folder / "pilothouse.toml").write_text(
        "\n".join(['[egress]\nmode = "open"\n[server]\nport = 0', settings, *tables])
    )
    return folder


class Desk:
    """A node, the model server its agents ask and the receiver their tools tell; used in a `with` block."""

    def __init__(self, folder: Path, scratch: str) -> None:
        self.receiver = Receiver()
        self.model = ScriptedModel(self._answer)
        self.folder, self._scratch = folder, scratch
        self._script: Callable[[ModelRequest], Any] | None = None
        self._before = 0

    def __enter__(self) -> Self:
        self.receiver.__enter__()
        self.model.start()
        variables = {"RECEIVER_URL": self.receiver.url, "TMPDIR": self._scratch, **self.model.environment}
        self.node = PatientNode(self.folder, variables)
        return self

    def __exit__(self, *_: Any) -> None:
        self.model.stop()
        self.receiver.__exit__(None, None, None)

    def begin(self) -> None:
        """For each test: nothing is said yet, nothing was asked."""
        self.node.caller = PatientCaller(lambda: self.node.url)
        self._script, self._before, self._failures = None, self.model.calls, []

    def check(self) -> None:
        assert self._failures == [], "the script failed"

    def says(self, *said: Any) -> "Conversation":
        """What the model says in this test, stage by stage."""
        conversation = Conversation(*said)
        self._script = conversation.answer
        return conversation

    def answers(self, script: Callable[[ModelRequest], Any]) -> None:
        self._script = script

    async def _answer(self, request: ModelRequest) -> Any:
        assert self._script is not None
        try:
            said = self._script(request)
            return await said if isawaitable(said) else said
        except Exception as failure:
            self._failures.append(failure)
            raise

    @property
    def caller(self) -> Caller:
        return self.node.caller

    @property
    def requests(self) -> list[ModelRequest]:
        """What the model was asked in this test."""
        return self.model.requests[self._before - self.model.calls :] if self.calls else []

    @property
    def calls(self) -> int:
        return self.model.calls - self._before

    async def run(self, agent: str, input: Any, **more: Any) -> dict[str, Any]:
        """A run, at its end."""
        answer = await self.caller.start(agent, input, **more)
        assert answer.status == 202, answer
        return await self.caller.wait_end(answer.body["id"])

    async def strike(self, victim: str) -> None:
        """SIGKILL for the hosts, or for the node and its hosts."""
        await (self.node.kill_hosts() if victim == "host" else self.node.kill())

    async def recover(self, victim: str) -> None:
        if victim == "node":
            await self.node.start()


class PatientCaller(Caller):
    """Hosts that load a framework take long to come up, and longer on a busy machine."""

    async def start(self, agent: str, input: Any, **more: Any) -> Told:
        return await self.start_at_last(agent, input, **more)

    async def wait_end(self, run: str, within: float = LOADS_WITHIN) -> dict[str, Any]:
        return await super().wait_end(run, within)

    async def wait_run(
        self, run: str, fits: Callable[[dict[str, Any]], bool], within: float = LOADS_WITHIN
    ) -> dict[str, Any]:
        return await super().wait_run(run, fits, within)

    async def decide(self, run: str, verdict: str, within: float = LOADS_WITHIN, **more: Any) -> dict[str, Any]:
        return await super().decide(run, verdict, within, **more)


class PatientNode(ServedNode):
    async def start(self) -> None:
        seen = self.launch()
        await wait_until(lambda: self._look_ready(seen), LOADS_WITHIN, self.read_log)


def stage_of(request: Any) -> int:
    """smolagents tells results and failures of tools as words of the user."""
    return sum(
        message["role"] == "tool"
        or (
            message["role"] == "user"
            and any(word in str(message.get("content")) for word in ("Observation:", "Error:"))
        )
        for message in request.messages
    )


class Conversation:
    """A script for one run: what the model says at each stage, and gates at which it waits before it says it."""

    def __init__(self, *said: Answer | str) -> None:
        self.said = list(said)
        self.gates: dict[int, Gate] = {}
        self.answered: Counter[int] = Counter()

    def hold(self, stage: int) -> Gate:
        return self.gates.setdefault(stage, Gate())

    async def answer(self, request: Any) -> Answer | str:
        stage = stage_of(request)
        gate = self.gates.get(stage)
        if gate is not None:
            await gate.enter()
        self.answered[stage] += 1
        return self.said[self.turn_of(stage)]

    def turn_of(self, stage: int) -> int:
        """Which answer comes at a stage: each answer with calls leads to the stage that has all their results."""
        at = 0
        for number, said in enumerate(self.said):
            if at >= stage:
                return number
            at += len(said.tool_calls) if isinstance(said, Answer) else 0
        return len(self.said) - 1


def call(name: str, id: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, arguments, id)


def calls(*made: ToolCall) -> Answer:
    return Answer(tool_calls=list(made))


async def wait_ended(caller: Caller, run: str, count: int, kinds: Sequence[str] = ("model", "tool")) -> None:
    """Until so many model and tool steps of a run have ended and are kept."""
    ended: list[str] = []

    async def look() -> bool:
        nonlocal ended
        ended = [one["key"] for one in await caller.steps(run) if one["kind"] in kinds and one["finished_at"]]
        return len(ended) >= count

    await wait_until(look, LOADS_WITHIN, lambda: f"{ended} instead of {count} ended steps")


async def wait_held(gate: Gate) -> None:
    await asyncio.to_thread(gate.wait_held, 1, LOADS_WITHIN)


def steps_by_kind(steps: list[dict[str, Any]]) -> Counter[str]:
    return Counter(one["kind"] for one in steps if one["finished_at"] and one["kind"] != "checkpoint")


def deltas(events: Sequence[Any]) -> list[Any]:
    return [event.body["delta"] for event in events if event.kind == "output.delta"]
