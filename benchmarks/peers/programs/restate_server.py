"""Ten durable no-op steps a call on Restate: `restate_server.py PORT FOLDER` serves `POST /ten/run` on PORT.

Restate's own server is a program beside this one: it calls this program over HTTP/2, as its documentation has it.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import hypercorn.asyncio
import hypercorn.config
import restate

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
SERVER = next(Path(sys.prefix).glob("node_modules/@restatedev/*/bin/restate-server"))
STEPS = 10
ten = restate.Service("ten")


async def nothing() -> dict[str, str]:
    return {"role": "tool", "content": "x" * 170}


@ten.handler()
async def run(ctx: restate.Context, asked: dict[str, str]) -> None:
    for number in range(STEPS):
        await ctx.run_typed(f"nothing-{number}", nothing)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def tell(admin: int, ours: int) -> None:
    """Registers this program with the server, as soon as that listens."""
    body = json.dumps({"uri": f"http://127.0.0.1:{ours}"}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{admin}/deployments", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        answer.read()


async def main() -> None:
    ours, admin = free_port(), free_port()
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{ours}"]
    config.h2_max_concurrent_streams = config.keep_alive_max_requests = 2**31 - 1
    config.loglevel = "ERROR"
    named = {
        "INGRESS__BIND_ADDRESS": f"127.0.0.1:{PORT}", "ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "BIND_ADDRESS": f"127.0.0.1:{free_port()}", "LISTEN_MODE": "tcp", "BASE_DIR": FOLDER,
        "DISABLE_TELEMETRY": "true", "LOG_FILTER": "error", "ADVERTISED_HOST": "127.0.0.1",
    }  # fmt: skip
    settings = {f"RESTATE_{name}": value for name, value in named.items()}
    server = subprocess.Popen([str(SERVER), "--no-logo"], env={**os.environ, **settings})
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        serving = asyncio.create_task(hypercorn.asyncio.serve(restate.app([ten]), config, shutdown_trigger=stop.wait))
        while True:
            try:
                await asyncio.to_thread(tell, admin, ours)
                break
            except OSError as error:
                if server.poll() is not None:
                    raise SystemExit("the server of Restate ended") from error
                await asyncio.sleep(0.2)
        await serving
    finally:
        server.terminate()
        server.wait(20)


asyncio.run(main())
