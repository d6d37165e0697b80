"""Beside an agent framework only the sdk is installed: the command is there, and says what to install."""

import subprocess
import sys

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import environment

PROGRAM = """
import sys
sys.modules["click"] = None
from pilothouse.cli import main
main()
"""


@pytest.mark.slow
def test_without_the_server_the_command_names_what_to_install(tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment(), capture_output=True,
                          text=True, timeout=30, check=False)  # fmt: skip
    assert done.returncode == Exit.OPERATOR
    assert done.stdout == ""
    assert done.stderr.startswith("Error: This installation has the sdk only")
    assert 'pip install "pilothouse[standard]"' in done.stderr
    assert "Traceback" not in done.stderr
