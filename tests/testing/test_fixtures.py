"""The fixtures, in the pytest of a user: a project of its own that uses nothing but what is promised."""

import subprocess
import sys

import pytest

CONFTEST = 'pytest_plugins = ["pilothouse.testing.fixtures"]\n'
TEST = """
from datetime import timedelta

from pilothouse import Context, agent


@agent(mode="event")
async def patient(ctx: Context, name: str) -> str:
    greeting = await ctx.step(str.upper, name, name="upper")
    await ctx.sleep(timedelta(hours=1))
    return greeting


def test_time(local_node, manual_clock):
    node = local_node({"patient": patient})
    begin = manual_clock.now()
    node.crash_at_step("upper", "after_commit")
    run = node.start("patient", "ann")
    node.advance(hours=2)
    node.wait(run, "waiting")
    node.advance(hours=2)
    assert node.wait(run).output == "ANN"
    assert manual_clock.now() - begin == 4 * 3600 * 1_000_000


def test_model(scripted_model):
    assert scripted_model.base_url.startswith("http://127.0.0.1:")
"""


@pytest.mark.slow
def test_a_project_uses_the_fixtures(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_agents.py").write_text(TEST)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-W",
            "error",
            str(tmp_path),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.slow
def test_importing_the_kit_needs_neither_a_server_nor_a_test_framework():
    code = (
        "import sys, pilothouse.testing;"
        "assert not {'apsw', 'pytest', 'starlette', 'click', 'pilothouse.storage'} & set(sys.modules);"
        "pilothouse.testing.LocalNode; assert 'apsw' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
