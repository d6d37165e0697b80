"""`init`, `doctor`, `settings` and `--help`: what a newcomer and an operator type before a node runs."""

import json
import socket
import subprocess
import sys

import pytest

from pilothouse.cli.exits import Exit
from pilothouse.cli.program import COMMANDS
from pilothouse.cli.starter import FILES
from tests.cli.served import CommandLine, environment, make_project, serve


def outcomes(result) -> dict[str, str]:
    return {one["name"]: one["outcome"] for one in json.loads(result.stdout)["examined"]}


@pytest.mark.slow
def test_a_new_project_has_tests_that_pass_and_agents_that_run(cli):
    made = cli("init", "shop")
    assert made.exit_code == Exit.DONE
    folder = cli.folder / "shop"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(FILES)
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder, env=environment(),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout
    assert "2 passed" in tests.stdout
    with serve(folder, "--port", "0") as url:
        project = CommandLine(folder, url)
        assert project("run", "echo", "Hello").stdout == "Hello\n"
        assert project("run", "diary", "Rain", "--session", "ann").stdout == "1 noted; the first was: Rain\n"
        assert json.loads(project("run", "digest", "a a b", "--json").stdout)["output"] == {"a": 2, "b": 1}


def test_init_overwrites_nothing_and_writes_nothing_beside_it(cli):
    (cli.folder / "agents.py").write_text("mine", encoding="utf-8")
    result = cli("init")
    assert result.exit_code == Exit.CONFLICT
    assert "agents.py" in result.stderr
    assert [path.name for path in cli.folder.iterdir()] == ["agents.py"]
    assert (cli.folder / "agents.py").read_text() == "mine"


def test_init_leaves_a_readme_as_it_was(cli):
    (cli.folder / "README.md").write_text("mine", encoding="utf-8")
    made = cli.json("init")
    assert "README.md" not in made["files"]
    assert (cli.folder / "README.md").read_text() == "mine"


@pytest.mark.slow
def test_doctor_is_content_with_a_project_that_works(cli):
    make_project(cli.folder)
    result = cli("doctor", "--json")
    assert result.exit_code == Exit.DONE, result.stdout
    found = outcomes(result)
    assert "fail" not in found.values()
    assert found["settings"] == found["address"] == found["records"] == found["agent words"] == "ok"
    assert not (cli.folder / "pilothouse.db").exists()


@pytest.mark.slow
def test_doctor_looks_at_the_hot_store_and_the_object_stores_that_the_settings_name(cli, tmp_path):
    make_project(cli.folder)
    with (cli.folder / "pilothouse.toml").open("a") as file:
        file.write(f'\n[hot]\nurl = "redis://127.0.0.1:1"\n[blobs]\nurl = "file://{tmp_path}/blobs"\n')
        file.write(f'[audit]\ncheckpoint_url = "file://{tmp_path}/checkpoints"\n')
    result = cli("doctor", "--json")
    assert result.exit_code == Exit.DONE, result.stdout
    examined = {one["name"]: one for one in json.loads(result.stdout)["examined"]}
    assert examined["hot store"]["outcome"] == "warn"
    assert "hot.url" in examined["hot store"]["advice"]
    assert examined["blobs"]["outcome"] == examined["checkpoints"]["outcome"] == "ok"


@pytest.mark.slow
def test_doctor_tells_a_port_that_is_taken_by_another_program(cli):
    (cli.folder / "pilothouse.toml").write_text("[agents.a]\ntarget = 'missing:a'\n", encoding="utf-8")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen: it refuses connections and keeps the port
        port = str(silent.getsockname()[1])
        result = cli("doctor", PILOTHOUSE_SERVER_PORT=port)
    assert result.exit_code == Exit.FAILED
    assert f"fail  address       127.0.0.1:{port}: address already in use" in result.stdout
    assert "server.port" in result.stdout
    assert "fail  agent a" in result.stdout
    assert "missing" in result.stdout


@pytest.mark.slow
def test_doctor_knows_a_node_that_runs(served):
    port = served.url.rpartition(":")[2]
    result = served("doctor", "--json", PILOTHOUSE_SERVER_PORT=port)
    examined = {one["name"]: one for one in json.loads(result.stdout)["examined"]}
    assert result.exit_code == Exit.DONE
    assert examined["address"]["says"] == f"a node answers on 127.0.0.1:{port}"
    assert "used by" in examined["records"]["says"]


def test_doctor_stops_at_settings_that_are_broken(cli):
    (cli.folder / "pilothouse.toml").write_text("[server]\nprot = 1\n", encoding="utf-8")
    result = cli("doctor")
    assert result.exit_code == Exit.FAILED
    assert "pilothouse.toml:2: there is no setting server.prot; did you mean port?" in result.stdout


def test_settings_tell_the_value_and_who_set_it(cli):
    (cli.folder / "pilothouse.toml").write_text("[server]\nport = 9000\n", encoding="utf-8")
    shown = cli.json("settings", "server")
    assert {"name": "server.port", "value": 9000, "source": "pilothouse.toml:2"} in shown
    assert {"name": "server.host", "value": "127.0.0.1", "source": "default"} in shown
    over = cli("settings", "server.port", PILOTHOUSE_SERVER_PORT="9001").stdout.splitlines()
    assert over[1].split() == ["server.port", "9001", "PILOTHOUSE_SERVER_PORT"]


def test_broken_settings_leave_with_7_and_defaults_are_shown_all_the_same(cli):
    (cli.folder / "pilothouse.toml").write_text("[server]\nport = 'x'\n", encoding="utf-8")
    broken = cli("settings")
    assert broken.exit_code == Exit.OPERATOR
    assert 'pilothouse.toml:2: server.port is "x"; expected a whole number from 0 to 65535' in broken.stderr
    assert "pilothouse settings --defaults" in broken.stderr
    assert cli("settings", "--defaults").exit_code == Exit.DONE


def test_help_lists_every_command(cli):
    result = cli("--help")
    assert result.exit_code == Exit.DONE
    for name, (_, said) in COMMANDS.items():
        assert f"  {name} " in result.output
        assert said in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_an_example(cli, name):
    result = cli(name, "--help")
    assert result.exit_code == Exit.DONE
    assert "Example:" in result.output


def test_a_misspelt_command_leaves_with_2_and_names_the_nearest(cli):
    result = cli("serv")
    assert result.exit_code == Exit.USAGE
    assert "Did you mean serve?" in result.stderr


def test_the_version_is_printed(cli):
    assert cli("--version").stdout.startswith("pilothouse 0.")


@pytest.mark.slow
def test_the_module_is_the_command(cli):
    done = cli.run("settings", "--defaults", "--json")
    assert done.returncode == Exit.DONE
    assert json.loads(done.stdout)[0]["name"] == "server.host"
