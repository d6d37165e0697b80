"""`pilothouse environments`, and what `serve` and `doctor` say of environments: a person's view, real tools beneath.

How environments are made and kept is shown in `tests/compute/test_environment`.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import CommandLine, environment
from tests.compute.packages import Packages

pytestmark = pytest.mark.slow

CODE = """
import greet
from pilothouse import agent

@agent
async def hello(name: str) -> str:
    return f"{greet.VERSION} {name}"
"""
SETTINGS = """
[server]
port = 0
[environments]
tool = "pip"
[agents.hello]
target = "agents:hello"
environment = "needs.txt"
[agents.other]
target = "agents:hello"
environment = ["--no-index", "--find-links packages", "greet==2"]
"""


@pytest.fixture
def project(tmp_path):
    packages = Packages(tmp_path / "packages")
    packages.put_wheel("greet", "1")
    packages.put_wheel("greet", "2")
    (tmp_path / "needs.txt").write_text("--no-index\n--find-links packages\ngreet==1\n")
    (tmp_path / "agents.py").write_text(CODE)
    (tmp_path / "pilothouse.toml").write_text(SETTINGS)
    return CommandLine(tmp_path)


def test_environments_are_listed_made_examined_and_pruned(project):
    found = json.loads(project.run("environments", "list", "--json").stdout)["items"]
    assert [(one["status"], one["agents"], one["label"]) for one in found] == [
        ("missing", ["hello"], "needs.txt"),
        ("missing", ["other"], "--no-index, --find-links packages, greet==2"),
    ]
    assert "is not made yet" in project.run("doctor").stdout

    one = project.run("environments", "build", "hello")
    assert one.returncode == Exit.DONE
    assert "(hello): making it with pip" in one.stderr
    assert "other" not in one.stderr
    built = json.loads(project.run("environments", "build", "--json").stdout)["items"]
    assert [item["agents"] for item in built] == [["hello"], ["other"]]
    assert project.run("environments", "build", "nobody").returncode == Exit.NOT_FOUND

    lines = project.run("environments").stdout.splitlines()
    assert lines[0].split() == ["ENVIRONMENT", "STATUS", "PYTHON", "PACKAGES", "SIZE", "AGENTS", "NEEDS"]
    assert [line.split()[1] for line in lines[1:]] == ["made", "made"]
    told = project.run("doctor").stdout
    assert "(hello): cpython-3" in told
    assert "agents:hello (stateless)" in told

    text = (project.folder / "pilothouse.toml").read_text()
    (project.folder / "pilothouse.toml").write_text(text.replace("greet==2", "greet"))
    assert "1 that no agent here needs take " in project.run("doctor").stdout
    pruned = json.loads(project.run("environments", "prune", "--json").stdout)
    assert pruned["removed"] == [found[1]["digest"]]
    assert pruned["freed"] > 0


def test_two_programs_that_make_the_same_at_once_make_it_once(project):
    command = [sys.executable, "-m", "pilothouse", "environments", "build", "hello", "--json"]
    both = [
        subprocess.Popen(command, cwd=project.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert ends[0][0] == ends[1][0]
    assert sum(said.count(b"making it with") for _, said in ends) == 1


def test_serve_shows_progress_and_tells_why_an_environment_cannot_be_had(project):
    (project.folder / "needs.txt").write_text("--no-index\n--find-links packages\ngreet==3\n")
    done = project.run("serve")
    assert done.returncode == Exit.OPERATOR
    assert "(hello): making it with pip" in done.stderr
    assert "Error: The environment of hello cannot be had: ERROR: " in done.stderr
    assert "greet==3" in done.stderr
    assert "Next:  Mend what `environment` names" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_leaves_at_once_when_it_is_told_to_while_it_makes_one(project):
    packages = Packages(project.folder / "more")
    began, _ = packages.put_slow(project.folder / "slow")
    (project.folder / "needs.txt").write_text("--no-index\n--find-links more\n./slow\n")
    process = subprocess.Popen([sys.executable, "-m", "pilothouse", "serve"], cwd=project.folder, env=environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    with process:
        for line in process.stderr:
            if b"making it with" in line:
                break
        while not began.exists() and process.poll() is None:
            os.sched_yield()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == Exit.DONE
    kept = project.folder / ".pilothouse" / "environments"
    assert not [path for path in kept.iterdir() if path.is_dir() and path.name != "sdk"]


def test_dev_runs_an_agent_with_an_environment_in_a_process_of_its_own(project, monkeypatch):
    from pilothouse.cli.dev import dev_settings
    from pilothouse.settings.work import worker_options

    monkeypatch.chdir(project.folder)
    options = worker_options(dev_settings(None, None, []))
    assert not any(one.is_inline for one in options.agents.values())
    assert options.environments.folder == Path(project.folder) / ".pilothouse" / "environments"
