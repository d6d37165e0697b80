"""`LocalNode`: what a user tests agents with, in any test framework, without a server.

    async with LocalNode({"support": support}) as node:
        run = await node.run("support", "where is my order?", session="ann")
        assert run.output == "it is on its way"

or, without `async`, `with LocalNode({"support": support}) as node: run = node.run("support", "where is my order?")`.
"""

from types import TracebackType

from pilothouse.testing.local_blocking import BlockingNode
from pilothouse.testing.local_verbs import LocalVerbs


class LocalNode(LocalVerbs):
    """`agents`: names, and functions with `@agent` or without, or targets as `module:object`. `options`: by name, what
    the settings could say of an agent (`{"support": {"concurrency": 1, "subscribes": ["orders.*"]}}`). `folder`: where
    the records are; a temporary one when left out. `restarts`: whether the waiting verbs start a crashed node again.
    `hot`: the hot store, when it is to outlive crashes; by itself each start has an empty one."""

    async def __aenter__(self) -> "LocalNode":
        await self.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            await self.close()
        except BaseException as fault:
            if error is None:
                raise
            error.add_note(f"beside it, nobody handled {fault!r}")

    def __enter__(self) -> BlockingNode:
        self._blocking = BlockingNode(self)
        return self._blocking

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blocking.close()
