"""The licence desk of an example, end to end: its own files, its own local model, a node that is killed in between.

What every framework's desk must do is the same, so it is told once: answer from what the tools give, remember what was
asked, and keep a note only after a person has agreed.
"""

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from pilothouse.testing import ScriptedModel
from tests.faults.served import ServedNode
from tests.frameworks.stage import ROOT, PatientCaller, PatientNode, environment_of

FIRST = ROOT / "examples" / "01-licence-desk"
IGNORED = shutil.ignore_patterns("*.db*", "__pycache__", "notes.txt")


def local_model() -> ScriptedModel:
    """The model server of the first example, in this process."""
    sys.path.insert(0, str(FIRST))
    before = set(sys.modules)
    try:
        model: ScriptedModel = import_module("brain").local_model()
        return model
    finally:
        sys.path.remove(str(FIRST))
        for name in set(sys.modules) - before:
            del sys.modules[name]


@asynccontextmanager
async def standing(folder: Path, example: str, framework: str) -> AsyncIterator[tuple[ServedNode, Path]]:
    """A node on a copy of the example, in the environment that is there already."""
    shutil.copytree(FIRST, folder / FIRST.name, ignore=IGNORED)
    project = Path(shutil.copytree(ROOT / "examples" / example, folder / example, ignore=IGNORED))
    settings = project / "pilothouse.toml"
    text = settings.read_text().replace("port = 8700", "port = 0")
    assert 'environment = "requirements.txt"' in text
    settings.write_text(text.replace("requirements.txt", str(environment_of(framework))))
    with local_model() as model:
        node = PatientNode(project, {"TMPDIR": str(folder), **model.environment})
        await node.caller.close()
        node.caller = PatientCaller(lambda: node.url)
        try:
            await node.start()
            yield node, project
        finally:
            await node.end()


async def tell_story(folder: Path, example: str, framework: str) -> None:
    async with standing(folder, example, framework) as (node, project):
        caller = node.caller

        async def ask(text: str) -> str:
            started = await caller.start("desk", text, session="ann")
            ended = await caller.wait_end(started.body["id"])
            assert ended["status"] == "succeeded", ended
            return said_in(ended["output"])

        first = await ask("What licence has msgspec?")
        assert "msgspec" in first
        assert "BSD-3-Clause" in first
        assert await ask("And who holds it?") == first, "it knows what was talked about"
        run = (await caller.start("desk", "Note that msgspec is only for tests.", session="ann")).body["id"]
        await caller.wait_run(run, lambda found: found["status"] == "waiting")
        await node.restart()
        assert not (project / "notes.txt").exists()
        review = await caller.decide(run, "edit", edited={"text": "msgspec is fine"})
        assert review["details"]["arguments"] == {"text": "msgspec is only for tests."}
        noted = said_in((await caller.wait_end(run))["output"])
        assert "msgspec is fine" in noted, noted
        assert (project / "notes.txt").read_text() == "msgspec is fine\n"
        assert "What licence has msgspec?" in await ask("What did I ask before?")


def said_in(output: Any) -> str:
    """The text of an answer: itself, or the last message of a graph."""
    return output if isinstance(output, str) else str(output["messages"][-1]["content"])
