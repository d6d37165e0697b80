"""The README does what it says: its project is written to a folder, served, and its commands are pasted into a shell.

Excluded: the two make commands, which CI runs itself (`.ci/run`), and the example (`tests/examples`).
"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A node that serves the project of the README."""
    (tmp_path / "agents.py").write_text(blocks("python")[0])
    (tmp_path / "pilothouse.toml").write_text(blocks("toml")[0])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    command = [str(BIN / "pilothouse"), "serve", "--port", str(number)]
    node = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert node.stdout is not None
        said = []
        for text in node.stdout:
            said.append(text)
            if f"http://127.0.0.1:{number}" in text:
                break
        else:
            pytest.fail("the node did not start:\n" + "".join(said))
        yield number
    finally:
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=30)


def paste(script: str, port: int, folder: Path) -> str:
    """What the block prints when it is pasted into a shell beside the node."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PILOTHOUSE_SERVER_PORT": str(port)}
    script = "set -e\n" + script.replace("localhost:8700", f"127.0.0.1:{port}")
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_three_execution_models_of_the_readme_run(port: int, tmp_path: Path) -> None:
    stateless, session, event = blocks("sh")
    assert '"output":"HELLO"' in paste(stateless, port, tmp_path)
    assert '"output":"second, and 1 turns before it"' in paste(session, port, tmp_path)
    said = paste(event, port, tmp_path)
    assert '"output":"All about lighthouses."' in said
    assert "Publish" in said
    numbers = [int(number) for number in re.findall(r"id: (\d+)\nevent: ", said)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "event: run.succeeded" in said


def test_each_model_takes_about_ten_lines() -> None:
    for agent in blocks("python")[0].split("@agent")[1:]:
        assert len(agent.strip().splitlines()) <= 10
