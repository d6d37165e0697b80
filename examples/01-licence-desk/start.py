"""Starts the licence desk: a model, and the node that runs the agents.

With `OPENAI_BASE_URL` set the model is the one behind it; without it a local model server is started here, which lives
as long as this program. The node is a child with this program's own options; signals go on to it, and its exit code is
handed back. What was promised before is taken up by the node itself, however the last one ended.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

from brain import local_model

from pilothouse.testing import ScriptedModel

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
READY_WITHIN = 60.0
POLL_EVERY = 0.05

COMMANDS = """
The licence desk is at {url} (reviews, runs and sessions: {url}/docs).

1. stateless: a licence text in, a record out
   curl -s {url}/v1/agents/extract/runs -H 'content-type: application/json' \\
     -d '{{"input": "Metadata-Version: 2.4\\nName: thing\\nVersion: 1.0\\nLicense-Expression: MPL-2.0"}}'

2. session: a talk that is remembered
   curl -s {url}/v1/agents/desk/runs -H 'content-type: application/json' \\
     -d '{{"input": "Which distributions are weak-copyleft?", "session": "ann"}}'

3. event: audit all that is installed, in the background; it asks you about what is copyleft or unknown
   curl -sN {url}/v1/agents/audit/runs -H 'content-type: application/json' -H 'accept: text/event-stream' \\
     -d '{{"input": {{}}}}'

Ctrl-C stops it. What is running goes on at the next start.
"""


def main(arguments: list[str], here: Path = HERE, commands: str = COMMANDS) -> int:
    """Runs the node of a folder until it ends; gives its exit code."""
    port = wanted_port(arguments, here)
    if port and not is_free(port):
        print(
            f"Port {port} is taken by another program. Stop that one, or start with `--port {port + 1}`.",
            file=sys.stderr,
        )
        return 1
    if not port:
        port = any_port()
    model = None if os.environ.get("OPENAI_BASE_URL") else local_model().start()
    try:
        return run_node([*without_port(arguments), "--port", str(port)], port, model, here, commands)
    finally:
        if model is not None:
            model.stop()


def run_node(arguments: list[str], port: int, model: ScriptedModel | None, here: Path, commands: str) -> int:
    environment = os.environ | (model.environment if model is not None else {})
    node = subprocess.Popen([sys.executable, "-m", "pilothouse", "serve", *arguments], cwd=here, env=environment)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: forward(node, got))
    where = "a local model server that follows rules" if model is not None else os.environ["OPENAI_BASE_URL"]
    url = f"http://{HOST}:{port}"
    threading.Thread(target=announce, args=(node, url, commands, where), daemon=True).start()
    code = node.wait()
    return code if code >= 0 else 128 - code


def forward(node: "subprocess.Popen[bytes]", number: int) -> None:
    """Ctrl-C in a terminal reaches the node by itself as well; it minds a second one, so it is told to end once."""
    if node.poll() is None:
        node.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)


def announce(node: "subprocess.Popen[bytes]", url: str, commands: str, where: str) -> None:
    """Says where the desk is, once it can serve."""
    until = time.monotonic() + READY_WITHIN
    while node.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    print(commands.format(url=url) + f"The model is {where}.", flush=True)
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_EVERY)
    if node.poll() is None:
        print(f"The node is not ready after {READY_WITHIN:g} s; its log above says why.", file=sys.stderr, flush=True)


def wanted_port(arguments: list[str], here: Path) -> int:
    """The port as `serve` would choose it: the option, the environment, the file."""
    said = option(arguments, "--port") or os.environ.get("PILOTHOUSE_SERVER_PORT", "")
    if said.isdecimal():
        return int(said)
    with (here / "pilothouse.toml").open("rb") as file:
        return int(tomllib.load(file).get("server", {}).get("port", 8700))


def option(arguments: list[str], name: str) -> str:
    for at, each in enumerate(arguments):
        if each == name and at + 1 < len(arguments):
            return arguments[at + 1]
        if each.startswith(f"{name}="):
            return each.partition("=")[2]
    return ""


def without_port(arguments: list[str]) -> list[str]:
    kept, is_value = [], False
    for each in arguments:
        if is_value or each.startswith("--port="):
            is_value = False
        elif each == "--port":
            is_value = True
        else:
            kept.append(each)
    return kept


def is_free(port: int) -> bool:
    """Whether this port can be listened on; one that was left a moment ago can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def any_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
