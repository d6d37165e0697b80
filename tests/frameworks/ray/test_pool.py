"""A step in a pool on a real Ray cluster: the node that it runs on is killed, and it begins again on the other.

The cluster runs in the environment `ray`, which has nothing of this project but msgspec: the sdk comes by its path.
"""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PYTHON = ROOT / ".venv-frameworks" / "ray" / "bin" / "python"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_step_begins_again_on_another_node_when_its_node_is_killed(tmp_path):
    with tempfile.TemporaryDirectory(prefix="ph-ray-") as scratch:  # short: Ray puts sockets there
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "src"), "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": scratch,
        }  # fmt: skip
        process = subprocess.Popen(
            [str(PYTHON), str(HERE / "cluster.py"), str(tmp_path), str(HERE / "agents")],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            said, problems = process.communicate(timeout=240)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    assert process.returncode == 0, problems[-4000:]
    found = json.loads(said.strip().splitlines()[-1])
    first, second = found["begun"]
    assert {first, second} == set(found["nodes"])
    assert found["ended"] == {"node": second, "key": "run:step-1"}
    assert found["failed"] == "on purpose"
