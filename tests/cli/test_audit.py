"""`pilothouse audit`: out of a node that runs, verified where there is none."""

import json

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import CommandLine

pytestmark = pytest.mark.slow


def test_the_log_of_a_node_is_exported_and_verified_without_it(served, tmp_path):
    assert served("run", "diary", "first", "--session", "ann", "--json").exit_code == Exit.DONE
    listed = served("audit", "list", "--limit", "3", "--json")
    assert [one["seq"] for one in json.loads(listed.stdout)["items"]] == [1, 2, 3]
    assert "run.queued" in served("audit").stdout
    key = served("audit", "key").stdout.strip()
    file = tmp_path / "audit.jsonl"
    assert served("audit", "export", str(file)).exit_code == Exit.DONE
    assert served("audit", "export", str(file)).exit_code == Exit.CONFLICT
    away = CommandLine(tmp_path)
    verified = away("audit", "verify", str(file), "--key", key)
    assert verified.exit_code == Exit.DONE
    assert "It is whole." in verified.stdout
    proof = tmp_path / "proof.json"
    proof.write_text(away("audit", "prove", str(file), "2").stdout, encoding="utf-8")
    assert away("audit", "verify", str(proof), "--key", key).exit_code == Exit.DONE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    broken = away("audit", "verify", str(file), "--key", key)
    assert broken.exit_code == Exit.FAILED
    assert "entry 2 is missing" in broken.stderr


def test_a_file_that_is_no_export_is_told(cli, tmp_path):
    file = tmp_path / "x"
    file.write_text("hello")
    done = cli("audit", "verify", str(file))
    assert done.exit_code == Exit.FAILED
    assert "not an export" in done.stderr
