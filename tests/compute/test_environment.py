"""Environments, for real: made by pip and uv from distributions of the test, shared, raced for, killed in the middle.

Excluded: how requests are read (`test_environment_request`), the command line (`tests/cli/test_environments`).
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import venv
from pathlib import Path

import pytest

from pilothouse.compute.environment.build import EnvironmentOptions, obtain
from pilothouse.compute.environment.python import EnvironmentProblem
from pilothouse.compute.environment.request import read_request
from pilothouse.compute.environment.shelf import Shelf
from pilothouse.compute.environment.supply import Wanted, obtain_wanted
from pilothouse.engine.world import Limits
from pilothouse.errors import EnvironmentFailed
from tests.compute.node import process_node, until
from tests.compute.packages import Packages, sha256

pytestmark = pytest.mark.slow

CODE = """
import os, shutil, sys, greet
from importlib.util import find_spec
from pilothouse import Context, agent

@agent(mode="event")
async def one(ctx: Context) -> list:
    return [greet.VERSION, os.getpid(), find_spec("starlette") is None, find_spec("pilothouse").origin]

two = three = one

@agent(mode="event")
async def die(ctx: Context, flag: str) -> list:
    if not os.path.exists(flag):
        open(flag, "w").close()
        os._exit(7)
    return [greet.VERSION, ctx.run.attempt]

@agent(mode="event")
async def program(ctx: Context) -> list:
    return [shutil.which("python"), sys.executable]
"""


@pytest.fixture
def packages(tmp_path):
    found = Packages(tmp_path / "packages")
    found.put_wheel("greet", "1")
    found.put_wheel("greet", "2")
    return found


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "environments")


def options(shelf, **more):
    return EnvironmentOptions(shelf.folder, **more)


def request_for(packages, *lines, home=None):
    return read_request((*packages.options, *lines), None, home or packages.folder, None)


@pytest.mark.parametrize("tool", ["pip", "uv"])
async def test_agents_that_need_the_same_share_a_host_and_others_run_beside_them(tmp_path, packages, shelf, tool):
    one, two = (*packages.options, "greet==1"), (*packages.options, "greet==2")
    agents = {"one": {"environment": one}, "two": {"environment": one}, "three": {"environment": two}}
    async with process_node(tmp_path, CODE, agents, environments=options(shelf, tool=tool)) as node:
        first, second, third = [json.loads((await node.run(name)).output) for name in ("one", "two", "three")]
        assert (first[0], second[0], third[0]) == ("1", "1", "2")
        assert first[1] == second[1] != third[1]
        assert (first[2], third[2]) == (True, True), "what the node has is not there"
        assert len(node.worker.hosts) == 2
        told = [text for stream, text in node.said if stream == "environment"]
        assert any("(one, two): making it" in text for text in told)
        assert any("(three): made: " in text for text in told)
    async with process_node(tmp_path, CODE, agents, environments=options(shelf, tool=tool)) as node:
        assert json.loads((await node.run("three")).output)[0] == "2"
        assert not [text for stream, text in node.said if stream == "environment"], "it was there already"


async def test_the_sdk_of_a_host_is_that_of_its_node_and_programs_come_from_its_environment(tmp_path, packages, shelf):
    said = (*packages.options, "greet==1")
    agents = {"one": {"environment": said}, "program": {"environment": said}}
    async with process_node(tmp_path, CODE, agents, environments=options(shelf)) as node:
        origin = json.loads((await node.run("one")).output)[3]
        here = Path(obtain.__code__.co_filename).parents[2] / "__init__.py"
        assert os.path.realpath(origin) == os.path.realpath(here)
        found, used = json.loads((await node.run("program")).output)
        assert found == used
        assert used.startswith(str(shelf.folder))


async def test_who_brings_its_host_down_is_tried_alone_in_the_same_environment(tmp_path, packages, shelf):
    agents = {"die": {"environment": (*packages.options, "greet==2")}}
    async with process_node(tmp_path, CODE, agents, Limits(losses=3), environments=options(shelf)) as node:
        ended = await node.run("die", json.dumps(str(tmp_path / "flag")).encode())
        assert json.loads(ended.output) == ["2", 2]


async def test_an_environment_that_is_there_already_is_used_as_it_is(tmp_path, packages, shelf):
    venv.create(tmp_path / "mine", with_pip=False)
    site = next((tmp_path / "mine" / "lib").glob("python*/site-packages"))
    agents = {"one": {"environment": "mine"}}
    with pytest.raises(EnvironmentFailed, match=r"(?s)of one cannot be had.*has no msgspec.*-m pip install"):
        async with process_node(tmp_path, CODE, agents, environments=options(shelf)):
            pass
    for wheel in (*packages.folder.glob("msgspec-*"), packages.folder / "greet-2-py3-none-any.whl"):
        subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, site], check=True)
    before = sorted(path.name for path in site.iterdir())
    async with process_node(tmp_path, CODE, agents, environments=options(shelf)) as node:
        assert json.loads((await node.run("one")).output)[0] == "2"
    assert sorted(path.name for path in site.iterdir() if path.name != "__pycache__") == before


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_resolver_says_why_and_for_which_agent(packages, shelf, tool):
    packages.put_wheel("desk", "1", needs="greet==2")
    wanted = Wanted(request_for(packages, "desk", "greet==1"), ["support", "sales"])
    with pytest.raises(EnvironmentFailed) as raised:
        obtain_wanted(wanted, options(shelf, tool=tool), lambda text: None)
    assert raised.value.message.startswith("The environment of support, sales cannot be had: ")
    assert "greet==1" in raised.value.message
    assert "desk" in raised.value.message
    assert shelf.all() == []
    assert not list(shelf.folder.glob(f"{wanted.request.digest}-*")), "nothing half-made is left"


def test_what_the_sdk_needs_and_what_an_agent_needs_must_fit(packages, shelf):
    with pytest.raises(EnvironmentProblem, match="msgspec"):
        obtain(request_for(packages, "msgspec<0.1"), options(shelf), lambda text: None)


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_locked_requirements_are_taken_as_they_are_and_the_sdk_gets_what_it_needs(tmp_path, packages, shelf, tool):
    wheel = packages.folder / "greet-1-py3-none-any.whl"
    lock = tmp_path / "locked.txt"
    lock.write_text("\n".join([*packages.options, f"greet==1 --hash=sha256:{sha256(wheel)}"]) + "\n")
    held = obtain(read_request("locked.txt", None, tmp_path, None), options(shelf, tool=tool), lambda text: None)
    said = subprocess.run([held.interpreter, "-c", "import greet, msgspec; print(greet.VERSION)"], capture_output=True)
    assert said.stdout == b"1\n"
    held.let_go()
    lock.write_text("\n".join([*packages.options, f"greet==1 --hash=sha256:{'0' * 64}"]) + "\n")
    with pytest.raises(EnvironmentProblem, match=r"(?i)hash"):
        obtain(read_request("locked.txt", None, tmp_path, None), options(shelf, tool=tool), lambda text: None)


def test_who_comes_second_waits_and_makes_nothing(tmp_path, packages, shelf):
    began, go = packages.put_slow(tmp_path / "slow")
    request = request_for(packages, str(tmp_path / "slow"))
    said: dict[int, list[str]] = {1: [], 2: []}
    interpreters = []

    def build(number):
        held = obtain(request, options(shelf, tool="pip"), said[number].append)
        interpreters.append(held.interpreter)
        held.let_go()

    first = threading.Thread(target=build, args=(1,))
    first.start()
    wait_for(began.exists)
    second = threading.Thread(target=build, args=(2,))
    second.start()
    wait_for(lambda: said[2])
    go.touch()
    first.join()
    second.join()
    assert said[2] == ["another node makes it; waiting"]
    assert interpreters[0] == interpreters[1]
    assert len(shelf.all()) == 1


BUILD = """
import sys
from pathlib import Path
from pilothouse.compute.environment.build import EnvironmentOptions, obtain
from pilothouse.compute.environment.request import read_request
folder, home, *lines = sys.argv[1:]
obtain(read_request(tuple(lines), None, Path(home), None), EnvironmentOptions(Path(folder), "pip"), print)
"""


def test_a_build_that_is_killed_leaves_nothing_that_is_used_and_no_tool_that_goes_on(tmp_path, packages, shelf):
    began, go = packages.put_slow(tmp_path / "slow")
    lines = (*packages.options, str(tmp_path / "slow"))
    request = read_request(lines, None, packages.folder, None)
    command = [sys.executable, "-c", BUILD, str(shelf.folder), str(packages.folder), *lines]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(tmp_path)})
    wait_for(began.exists)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    (left,) = [path for path in shelf.folder.glob(f"{request.digest}-*") if path.is_dir()]
    assert shelf.find(request.digest) is None
    lock = shelf.lock(request.digest)
    wait_for(lambda: lock.take(shared=False))  # free only when the tool is gone as well
    lock.close()
    go.touch()
    held = obtain(request, options(shelf, tool="pip"), lambda text: None)
    assert subprocess.run([held.interpreter, "-c", "import slow"]).returncode == 0
    assert not left.exists()
    held.let_go()


def test_a_build_ends_when_it_is_stopped_or_out_of_time(tmp_path, packages, shelf):
    began, _ = packages.put_slow(tmp_path / "slow")
    request = request_for(packages, str(tmp_path / "slow"))
    stop = threading.Event()
    stopper = threading.Thread(target=lambda: (wait_for(began.exists), stop.set()))
    stopper.start()
    with pytest.raises(EnvironmentProblem, match="it was stopped"):
        obtain(request, options(shelf), lambda text: None, stop)
    stopper.join()
    with pytest.raises(EnvironmentProblem, match=r"not made within 0.5 s \(environments.build_seconds\)"):
        obtain(request, options(shelf, within=0.5), lambda text: None)
    assert not [path for path in shelf.folder.iterdir() if path.is_dir()]


async def test_a_node_that_is_told_to_stop_does_not_wait_for_a_build(tmp_path, packages, shelf):
    began, _ = packages.put_slow(tmp_path / "slow")
    agents = {"one": {"environment": (*packages.options, str(tmp_path / "slow"))}}

    async def serve():
        async with process_node(tmp_path, CODE, agents, environments=options(shelf)):
            pass

    starting = asyncio.create_task(serve())
    await until(began.exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not [path for path in shelf.folder.iterdir() if path.is_dir()]


def test_what_nobody_needs_is_removed_the_last_used_last_and_nothing_that_is_held(packages, shelf):
    requests = [request_for(packages, f"greet=={number}") for number in (1, 2)]
    requests.append(request_for(packages, "greet"))
    held = [obtain(one, options(shelf), lambda text: None) for one in requests]
    for number, one in enumerate(requests):
        os.utime(shelf.folder / f"{one.digest}.json", (1000 + number, 1000 + number))
    half_made = shelf.new_folder("0123456789abcdef")
    half_made.mkdir()
    assert shelf.prune(set()) == []
    assert not half_made.exists()
    assert all(shelf.is_used(one.digest) for one in requests)
    for one in held:
        one.let_go()
    assert [made.digest for made in shelf.prune(set(), keep=2)] == [requests[0].digest]
    assert [made.digest for made in shelf.prune({requests[2].digest})] == [requests[1].digest]
    assert [made.digest for made in shelf.all()] == [requests[2].digest]
    assert shelf.all()[0].size > 0


def test_an_environment_whose_python_is_gone_is_made_again(packages, shelf):
    request = request_for(packages, "greet==1")
    obtain(request, options(shelf), lambda text: None).let_go()
    (made,) = shelf.all()
    shelf.interpreter(made).unlink()
    said: list[str] = []
    held = obtain(request, options(shelf), said.append)
    assert subprocess.run([held.interpreter, "-c", "import greet"]).returncode == 0
    assert any("making it" in text for text in said)
    held.let_go()


def test_a_reason_holds_no_password(packages, shelf):
    request = read_request(("--find-links http://ada:secret@127.0.0.1:1/x", "--no-index", "nothing"), None,
                           packages.folder, None)  # fmt: skip
    with pytest.raises(EnvironmentProblem) as raised:
        obtain(request, options(shelf), lambda text: None)
    assert "secret" not in str(raised.value)


def wait_for(holds, within=60.0):
    """Looks often; returns once it holds."""
    pause = threading.Event()
    for _ in range(int(within / 0.02)):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError("it never came about")
