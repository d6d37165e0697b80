"""Pools of a host: steps that wait for their turn, run elsewhere, and come back with a result that is what it was.

A pool bounds how many steps run (processes, processors, GPUs) and wait. A process that dies with a step in it is
replaced and the step begins again, since nobody kept its result; after `LOSSES` the step fails with the reason. A pool
that cannot be reached is waited for, then the step fails. `once` steps are refused: their loss would need a person.
"""

import asyncio
import pickle
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from pilothouse.sdk.pools.work import Outcome, Work, digest_of, name_of, source_of
from pilothouse.sdk.schema import read_json
from pilothouse.sdk.scope import step_here
from pilothouse.wire.host import PoolConfig

LOSSES = 3
"""Processes that may die with one step."""
ASK_EVERY = 0.2
"""Seconds between two tries to reach a pool that is gone."""

ANSWER_WITHIN = 10.0
"""Seconds that one try may take, even where a step waits for less: a first connection is not made in an instant."""


class PoolGone(Exception):
    """There is no process that could do the step."""


class PoolFull(Exception):
    """As many steps wait for the pool as may."""


class Lost(Exception):
    """A process died with the step in it; the text is how."""


class Pool(ABC):
    def __init__(self, name: str, config: PoolConfig, project: str) -> None:
        self.name, self.config, self.project = name, config, project
        self._free = [float(config.processes), config.cpus, config.gpus]
        self._waiting: deque[tuple[list[float], asyncio.Future[None]]] = deque()

    @staticmethod
    def check_function(function: Any) -> None:
        """Raises `ValueError` for one that no other process can import."""
        name_of(function)

    async def run(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], cpus: float, gpus: float) -> Any:
        """What the function returns, read from JSON; raises what it raised, `PoolGone` and `PoolFull`."""
        module, name = name_of(function)
        scope = step_here.get()
        assert scope is not None
        arguments = pickle.dumps((args, kwargs))
        work = Work(module, name, source_of(module), arguments, scope.key, scope.idempotency_key)
        wanted = [1.0, cpus, gpus]
        await self._take(wanted)
        try:
            outcome = await self._do(pickle.dumps(work), cpus, gpus)
        finally:
            self._give(wanted)
        if outcome.refused:
            raise PoolGone(f"the pool {self.name!r} cannot do it: {outcome.refused}")
        if outcome.raised is not None:
            raise pickle.loads(outcome.raised)
        output = outcome.output or b"null"
        if digest_of(output) != outcome.digest:
            raise PoolGone(f"the pool {self.name!r} gave a result whose digest is another")
        return read_json(output)

    async def _do(self, packed: bytes, cpus: float, gpus: float) -> Outcome:
        lost = ""
        for _ in range(LOSSES):
            await self._reach()
            try:
                return await self.send(packed, cpus, gpus)
            except Lost as error:
                lost = str(error)
        raise PoolGone(f"the pool {self.name!r} lost {LOSSES} processes with this step: {lost}")

    async def _reach(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.config.wait
        while True:
            try:
                async with asyncio.timeout_at(max(until, loop.time() + ANSWER_WITHIN)):
                    problem = await self.reach()
            except TimeoutError:
                problem = "it gives no answer"
            if problem is None:
                return
            if loop.time() >= until:
                raise PoolGone(f"the pool {self.name!r} was gone for {self.config.wait:g} s: {problem}")
            await asyncio.sleep(ASK_EVERY)

    @abstractmethod
    async def reach(self) -> str | None:
        """Makes sure that a step can be sent. What is in the way; None: nothing."""

    @abstractmethod
    async def send(self, packed: bytes, cpus: float, gpus: float) -> Outcome:
        """Raises `Lost`. When it is cancelled the work ends with it."""

    @abstractmethod
    def close(self) -> None: ...

    # --- turns --------------------------------------------------------------------------------------------------------

    def check(self, cpus: float, gpus: float) -> None:
        """Raises `ValueError` for a step that could never begin."""
        for what, wanted, there in (("cpus", cpus, self.config.cpus), ("gpus", gpus, self.config.gpus)):
            if not 0 <= wanted <= there:
                raise ValueError(f"the pool {self.name!r} has {there:g} {what}, and the step wants {wanted:g}")

    async def _take(self, wanted: list[float]) -> None:
        if not self._waiting and self._fits(wanted):
            self._add(wanted, -1)
            return
        if len(self._waiting) >= self.config.queue:
            raise PoolFull(f"{self.config.queue} steps wait for the pool {self.name!r} already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(wanted)
            else:
                self._waiting.remove((wanted, turn))
                self._serve()
            raise

    def _give(self, wanted: list[float]) -> None:
        self._add(wanted, 1)
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self._add(wanted, -1)
                turn.set_result(None)

    def _fits(self, wanted: list[float]) -> bool:
        return all(one <= free + 1e-9 for one, free in zip(wanted, self._free, strict=True))

    def _add(self, wanted: list[float], sign: int) -> None:
        self._free = [free + sign * one for free, one in zip(self._free, wanted, strict=True)]


class Pools:
    """All pools of a host, by name; each is made when a step asks for it."""

    def __init__(self, configs: dict[str, PoolConfig], project: str) -> None:
        self._configs, self._project = configs, project
        self._made: dict[str, Pool] = {}

    def find(self, name: str, cpus: float, gpus: float) -> Pool:
        """Raises `ValueError` when there is none, or it is too small for the step."""
        pool = self._made.get(name)
        if pool is None:
            config = self._configs.get(name)
            if config is None:
                there = ", ".join(sorted(self._configs)) or "none"
                raise ValueError(f"there is no pool named {name!r} in the settings; there is: {there}")
            pool = self._made[name] = _make(name, config, self._project)
        pool.check(cpus, gpus)
        return pool

    def close(self) -> None:
        for pool in self._made.values():
            pool.close()
        self._made.clear()


def _make(name: str, config: PoolConfig, project: str) -> Pool:
    import importlib

    kind = importlib.import_module(f"{__package__}.{config.kind}")
    pool: Pool = kind.make(name, config, project)
    return pool
