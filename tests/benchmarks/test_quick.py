"""The whole bench runs, in its quickest form: every workload has figures, and nothing is left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("Tenants:", "PostgreSQL:")
"""What starts many processes is asked for by name."""
WORKLOADS = {"W1", "W2", "W3", "W4 tick", "W4 paced", "journal"}


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_a_quick_bench_measures_everything_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    scratch = tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    command = [sys.executable, "-m", "benchmarks", "--quick", "--seconds", "0.05", "--out", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((out / "RESULTS.json").read_bytes())
    assert {one["key"] for one in found["workloads"]} == WORKLOADS
    assert set(found["tables"]) == {"idle", "W5", "losses", "growth", "outgoing", "footprint", "oversight"}
    for workload in found["workloads"]:
        assert {row["subject"] for row in workload["rows"]} >= {workload["limit"], "host", "inline"}
        assert all(row["per_second"] is not None for row in workload["rows"])
    asked = [one for one in found["targets"] if not one["what"].startswith(LEFT_OUT)]
    assert len(asked) >= 15
    assert {one["verdict"] for one in asked} <= {"met", "missed"}
    text = (out / "RESULTS.md").read_text()
    assert text == done.stdout.rstrip("\n") + "\n"
    assert all(heading in text for heading in ("## Targets", "## W1", "## W5", "## Journal", "## Growth"))
    assert list(scratch.iterdir()) == []
    assert not processes_in(scratch)


def processes_in(folder: Path) -> list[str]:
    """Commands of living processes that name the folder or work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if str(folder) in command or os.readlink(entry / "cwd").startswith(str(folder)):
                    found.append(command)
            except OSError:
                continue
    return found
