"""`serve`, `migrate`, `backup` and `restore`: what an operator does, and what is refused to keep the records whole."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import CommandLine, environment, make_project, serve

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path):
    return CommandLine(make_project(tmp_path))


def test_an_address_of_other_machines_is_refused_with_the_next_step(project):
    done = project.run("serve", "--host", "0.0.0.0")
    assert done.returncode == Exit.OPERATOR
    assert "0.0.0.0" in done.stderr
    assert "Next:  " in done.stderr
    assert not (project.folder / "pilothouse.db").exists()


def test_a_port_that_is_taken_is_told(project):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = project.run("serve", "--port", str(port))
    assert done.returncode == Exit.OPERATOR
    assert str(port) in done.stderr
    assert "Next:  " in done.stderr


def test_a_second_node_on_the_same_records_is_refused(served):
    done = served.run("serve", "--port", "0")
    assert done.returncode == Exit.OPERATOR
    assert "Error: " in done.stderr
    assert "Next:  " in done.stderr
    assert served("run", "count", "x").exit_code == Exit.DONE


def test_nothing_to_serve_is_told(cli):
    done = cli.run("serve", "--port", "0")
    assert done.returncode == Exit.OPERATOR
    assert "there is no agent to run" in done.stderr


def test_a_target_that_cannot_be_imported_is_told_without_a_stack_of_ours(project):
    (project.folder / "agents.py").write_text("import nothing_like_that\n", encoding="utf-8")
    done = project.run("serve", "--port", "0")
    assert done.returncode == Exit.OPERATOR
    assert "nothing_like_that" in done.stderr
    assert "pilothouse/cli" not in done.stderr


def test_a_role_needs_records_that_several_nodes_share(project):
    done = project("serve", "--role", "worker")
    assert done.exit_code == Exit.OPERATOR
    assert "a file, which one node has for itself" in done.stderr


def test_a_node_tells_where_it_is_and_leaves_with_0_on_sigterm(project):
    process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse", "serve", "--port", "0", "--json"], cwd=project.folder,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        told = json.loads(process.stdout.readline())
        assert told["pid"] == process.pid
        assert "words" in told["agents"]
        os.kill(process.pid, signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (Exit.DONE, "")


def test_what_was_promised_is_taken_up_by_the_next_node(project):
    with serve(project.folder) as url:
        project.url = url
        run = project.json("run", "patient", "x", "--async")["id"]
    with serve(project.folder) as url:
        project.url = url
        assert project("runs", "signal", run, "go", '"on"').exit_code == Exit.DONE
        assert project("runs", "watch", run).stdout == "on\n"


def test_records_are_migrated_once(project):
    first = project.json("migrate")
    assert first["before"] < first["after"]
    again = project("migrate")
    assert again.stdout == f"The records have schema {first['after']}, which is the newest.\n"


def test_a_backup_of_a_node_that_runs_is_whole_and_is_restored(served, tmp_path):
    run = served.json("run", "stepped", "keep me")["id"]
    copy = tmp_path / "copy.db"
    made = served.json("backup", str(copy))
    assert made == {"file": str(copy), "bytes": copy.stat().st_size}
    with sqlite3.connect(copy) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    opened.close()
    taken = served("backup", str(copy))
    assert taken.exit_code == Exit.CONFLICT

    in_use = served("restore", str(copy), "--force")
    assert in_use.exit_code == Exit.OPERATOR
    assert served("run", "count", "x").exit_code == Exit.DONE

    project = CommandLine(make_project(tmp_path))
    assert project("restore", str(copy)).exit_code == Exit.DONE
    with serve(tmp_path) as url:
        project.url = url
        assert project.json("runs", "show", run)["output"] == "KEEP ME"


def test_records_that_are_there_are_replaced_only_by_force(project):
    assert project("migrate").exit_code == Exit.DONE
    assert project("backup", "copy.db").exit_code == Exit.DONE
    refused = project("restore", "copy.db")
    assert refused.exit_code == Exit.OPERATOR
    assert "pilothouse.db is there already" in refused.stderr
    assert project("restore", "copy.db", "--force").exit_code == Exit.DONE


def test_a_file_that_is_no_backup_is_not_restored(project):
    (project.folder / "copy.db").write_text("not a database " * 100, encoding="utf-8")
    assert project("restore", "copy.db").exit_code == Exit.OPERATOR
    assert project("restore", "missing.db").exit_code == Exit.USAGE
    assert not (project.folder / "pilothouse.db").exists()


def test_there_is_nothing_to_back_up_before_the_first_start(project):
    result = project("backup", "copy.db")
    assert result.exit_code == Exit.OPERATOR
    assert not (project.folder / "copy.db").exists()


def test_an_address_of_other_machines_is_taken_once_there_is_a_key(tmp_path):
    project = CommandLine(make_project(tmp_path))
    made = project.run("keys", "create", "ada", "--kind", "human", "--scope", "*", "--json")
    assert made.returncode == Exit.DONE, made.stderr
    text = json.loads(made.stdout)["text"]
    with serve(project.folder, "--host", "0.0.0.0") as url:
        reached = CommandLine(project.folder, url.replace("0.0.0.0", "127.0.0.1"))
        assert reached("runs", "list").exit_code == Exit.REFUSED
        assert reached("runs", "list", PILOTHOUSE_KEY=text).exit_code == Exit.DONE
        second = reached("keys", "create", "bot", "--scope", "runs:read", "--json", PILOTHOUSE_KEY=text)
        assert second.exit_code == Exit.DONE
        listed = reached("keys", "list", "--json", PILOTHOUSE_KEY=text)
        assert [one["name"] for one in json.loads(listed.stdout)["items"]] == ["bot", "ada"]
        bot = json.loads(second.stdout)
        assert reached("keys", "revoke", bot["id"], PILOTHOUSE_KEY=text).exit_code == Exit.DONE
        assert reached("runs", "list", PILOTHOUSE_KEY=bot["text"]).exit_code == Exit.REFUSED
        assert reached("keys", "rotate", bot["id"], PILOTHOUSE_KEY=text).exit_code != Exit.DONE
