"""The environments of one node: what its agents ask for, made one after the other, and held while the node runs.

Agents that ask for the same share an environment, and so their hosts. The sdk is not installed into environments: a
host finds it by a folder on its path that holds nothing but a link to this very package, so that node and host are of
one version always, and a new version of Pilothouse makes no environment anew.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pilothouse.compute.environment.build import EnvironmentOptions, Held, find_uv, obtain
from pilothouse.compute.environment.python import EnvironmentProblem
from pilothouse.compute.environment.request import EnvironmentRequest, read_request
from pilothouse.errors import EnvironmentFailed

PACKAGE = Path(__file__).parents[2]

Said = tuple[str | tuple[str, ...], str | None]
"""What the settings say of one agent: `environment` and `python`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One environment and the agents that share it."""

    request: EnvironmentRequest
    agents: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"environment {self.request.digest} ({', '.join(self.agents)})"


def read_wanted(said: Mapping[str, Said], project: Path, tool: str) -> dict[str, Wanted]:
    """The environments that agents ask for, by digest. Raises `EnvironmentFailed` for the first that cannot be read."""
    found: dict[str, Wanted] = {}
    read: dict[Said, EnvironmentRequest] = {}
    for agent, asked in said.items():
        try:
            request = read.get(asked) or read_request(*asked, project, find_uv(tool))
        except EnvironmentProblem as problem:
            raise EnvironmentFailed(agents=agent, reason=str(problem)) from None
        read[asked] = request
        found.setdefault(request.digest, Wanted(request)).agents.append(agent)
    return found


def obtain_wanted(
    wanted: Wanted, options: EnvironmentOptions, say: Callable[[str], None], stop: threading.Event | None = None
) -> Held:
    """As `obtain`, for these agents. Raises `EnvironmentFailed`."""
    try:
        return obtain(wanted.request, options, lambda text: say(f"{wanted.name}: {text}"), stop)
    except EnvironmentProblem as problem:
        raise EnvironmentFailed(agents=", ".join(wanted.agents), reason=str(problem)) from None
    except OSError as error:
        reason = f"{options.folder}: {(error.strerror or type(error).__name__).lower()}"
        raise EnvironmentFailed(agents=", ".join(wanted.agents), reason=reason) from None


async def obtain_all(
    said: Mapping[str, Said], project: Path, options: EnvironmentOptions, say: Callable[[str], None]
) -> list[tuple[Wanted, Held]]:
    """All environments that agents ask for. When one fails, or nobody waits any more, the others are let go, and no
    tool runs on."""
    stop = threading.Event()
    held: list[tuple[Wanted, Held]] = []

    def act() -> None:
        wanted = read_wanted(said, project, options.tool).values()
        held.extend((one, obtain_wanted(one, options, say, stop)) for one in wanted)

    job = asyncio.ensure_future(asyncio.to_thread(act))
    try:
        await asyncio.shield(job)
    except BaseException:
        stop.set()
        with contextlib.suppress(EnvironmentFailed):
            await job
        for _, one in held:
            one.let_go()
        raise
    return held


def host_variables(held: Held, folder: Path) -> dict[str, str]:
    """What a host of an environment finds set: where the sdk is, and the programs of the environment on its PATH."""
    return {**held.variables, "PYTHONPATH": sdk_path(folder)}


def sdk_path(folder: Path) -> str:
    """A folder that holds nothing but this package."""
    name = hashlib.blake2b(str(PACKAGE).encode(), digest_size=8).hexdigest()
    place = folder / "sdk" / name
    link = place / PACKAGE.name
    if not link.exists():
        place.mkdir(parents=True, exist_ok=True)
        scratch = place / f".{secrets.token_hex(4)}"
        scratch.symlink_to(PACKAGE, target_is_directory=True)
        os.replace(scratch, link)
    return str(place)
