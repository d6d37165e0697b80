"""The cluster example does what it says: parts are killed, nothing is lost or repeated, and nothing is left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "06-cluster"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_worker_a_gateway_and_the_database_are_killed_and_nothing_is_lost_or_repeated(tmp_path):
    command = [sys.executable, "cluster.py", "--workers", "2", "--callers", "3", "--pace", "4", "--bus", "nats"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert "lost 0 | repeated 0" in last
    assert all(f"kill -9 {name}" in done.stdout for name in ("worker 1", "gateway 1"))
    assert "the database again" in done.stdout
    assert "ValkeyServer is gone for good" in done.stdout
    assert int(last.partition("limits drawn")[2].split()[0]) > 0
    acknowledged = int(last.partition("acknowledged")[2].split()[0])
    assert acknowledged == int(last.partition("finished")[2].split()[0]) > 10
