"""The pure functions of the console have tests in their own language beside them. They run on the wheel's Node."""

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_functions_of_the_console_pass_their_own_tests():
    if not (TOP / "console" / "node_modules").is_dir():
        pytest.skip("left out: the packages of the console are not installed (make console)")
    done = subprocess.run(
        [sys.executable, "hatch_build.py", "--test"], cwd=TOP, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
