"""A node in a process of its own, as a person starts it, and the command line against it.

What is slow is starting it, so a module shares one. Its agents show each thing a caller can meet: words, values,
failure, waiting, sessions and reviews. Everything is on disk in the folder that the test gives, on a port the system
gives, and the process is ended and waited for whatever a test does.
"""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

STOP_WITHIN = 60.0

AGENTS = '''
"""Agents for tests."""

import asyncio
import sys
from datetime import timedelta

from pilothouse import Context, agent


@agent
async def words(ctx: Context, message: str) -> str:
    for word in message.split():
        await ctx.emit(word + " ")
    return message + " "


@agent
def count(message: str) -> dict[str, int]:
    return {"words": len(message.split())}


@agent
def broken(message: str) -> str:
    raise RuntimeError(f"no {message} today")


@agent(mode="event")
async def patient(ctx: Context, message: str) -> str:
    await ctx.step(note, message)
    return await ctx.signal("go")


@agent(mode="event")
async def halting(ctx: Context, message: str) -> None:
    await ctx.emit("one ")
    await ctx.signal("go")
    await ctx.emit("two")


def note(message: str) -> str:
    return message.upper()


@agent(mode="event")
async def stepped(ctx: Context, message: str) -> str:
    return await ctx.step(note, message)


@agent(mode="event")
async def chatty(ctx: Context, message: str) -> str:
    print(f"noting {message}")
    print("with care", file=sys.stderr)
    return message


@agent(mode="session")
async def diary(ctx: Context, note: str) -> str:
    notes = ctx.session.state.setdefault("notes", [])
    notes.append(note)
    return f"{len(notes)} noted"


@agent(mode="session")
async def listener(ctx: Context, message: str) -> str:
    return await ctx.signal("go")


@agent(mode="event")
async def asking(ctx: Context, message: str) -> str:
    answer = await ctx.review("Shall it be sent?", details={"text": message}, within=timedelta(hours=1))
    return f"{answer.verdict}: {answer.reason or answer.response}"
'''
NAMES = ("words", "count", "broken", "patient", "halting", "stepped", "chatty", "diary", "listener", "asking")
SETTINGS = """[server]
port = 0
grace_seconds = 0.5

[worker]
cancel_grace_seconds = 0.5

""" + "\n".join(f'[agents.{name}]\ntarget = "agents:{name}"\n' for name in NAMES)


def environment(**more: str) -> dict[str, str]:
    """This one's, without what would set anything."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PILOTHOUSE_", "COV_"))}
    return clean | more


def make_project(folder: Path) -> Path:
    (folder / "agents.py").write_text(AGENTS, encoding="utf-8")
    (folder / "pilothouse.toml").write_text(SETTINGS, encoding="utf-8")
    return folder


@contextmanager
def serve(folder: Path, *flags: str) -> Iterator[str]:
    """The address of a node that runs in `folder` until the block ends."""
    told = folder / "serve.log"
    with told.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pilothouse", "serve", "--json", *flags],
            cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        # The line comes once the node can serve; the time limit of pytest bounds the reading of it.
        line = process.stdout.readline()
        if not line:
            raise AssertionError(told.read_text(encoding="utf-8"))
        yield str(json.loads(line)["url"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class CommandLine:
    """`cli("runs", "list")` in this process; `cli.run` in one of its own."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.url = url

    def __call__(self, *arguments: str, input: str | None = None, **variables: str) -> Result:
        import click

        from pilothouse.cli.program import run_program

        @click.command(context_settings={"ignore_unknown_options": True})
        @click.argument("given", nargs=-1, type=click.UNPROCESSED)
        @click.pass_context
        def through(ctx: click.Context, given: tuple[str, ...]) -> None:
            ctx.exit(run_program(arguments))

        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("PILOTHOUSE_")]:
                patch.delenv(name)
            if self.url:
                patch.setenv("PILOTHOUSE_URL", self.url)
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            return CliRunner().invoke(through, [], input=input)

    def json(self, *arguments: str) -> Any:
        """What a command answers to a program; it must go well."""
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def at_terminal(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and what came on a stderr that is a terminal."""
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "pilothouse", *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
                env=environment(PILOTHOUSE_URL=self.url, TERM="xterm-256color", TTY_INTERACTIVE="1"),
                stdout=subprocess.DEVNULL, stderr=theirs,
            )  # fmt: skip
        finally:
            os.close(theirs)
        said = b""
        try:
            with suppress(OSError):  # Linux says so when nobody has the other end any more
                while more := os.read(ours, 4096):
                    said += more
            return process.wait(STOP_WITHIN), said.decode()
        finally:
            os.close(ours)
            process.kill()
            process.wait()

    def run(self, *arguments: str, within: float = 60.0) -> subprocess.CompletedProcess[str]:
        more = {"PILOTHOUSE_URL": self.url} if self.url else {}
        return subprocess.run(
            [sys.executable, "-m", "pilothouse", *arguments], cwd=self.folder, env=environment(**more),
            capture_output=True, text=True, timeout=within, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
