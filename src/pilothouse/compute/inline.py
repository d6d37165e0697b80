"""The host in the node's own process: the same words, handed over without a socket.

The default of `dev`, where breakpoints must work, and a choice for trusted agents where every microsecond counts. User
code that blocks the loop blocks the node; user code that ends the process ends it.
"""

import asyncio
from collections.abc import Callable

from pilothouse.compute.host import INLINE, Calls, Host
from pilothouse.sdk.host import HostRuntime
from pilothouse.sdk.surroundings import HeldClock
from pilothouse.wire.frames import Abandon, KnowSecrets, Message
from pilothouse.wire.host import HostConfig


class InlineHost(Host):
    kind = INLINE

    def __init__(
        self,
        config: HostConfig,
        slots: int,
        grace: float,
        on_call: Calls,
        on_change: Callable[[Host], None],
        held_clock: HeldClock | None = None,
    ) -> None:
        super().__init__(slots, grace, on_call, on_change)
        self._loop = asyncio.get_running_loop()
        self._out: list[Message] = []
        self._back: list[Message] = []
        self._runtime = HostRuntime(self.say, config, self._loop, held_clock)
        self._runtime.surroundings.take_back = self.take_back

    def start(self) -> None:
        """Loads the agents. What cannot be loaded says so in its description."""
        self._runtime.load()
        self.agents = {agent.name: agent for agent in self._runtime.describe()}
        self.is_up = True
        if self.secrets:
            self._runtime.receive([KnowSecrets(list(self.secrets))])
        self.gate(self._is_gated)
        self._on_change(self)

    def send(self, message: Message) -> None:
        if not self._out:
            self._loop.call_soon(self._hand_over)
        self._out.append(message)

    def _hand_over(self) -> None:
        out, self._out = self._out, []
        if self.is_up:
            self._runtime.receive(out)

    def say(self, message: Message) -> None:
        """A word of the runtime, for the node."""
        if not self._back:
            self._loop.call_soon(self._hand_back)
        self._back.append(message)

    def take_back(self, message: Message) -> bool:
        """Drops the last word of the runtime, when that is this one and the node has not heard it yet."""
        if self._back and self._back[-1] is message:
            self._back.pop()
            return True
        return False

    def _hand_back(self) -> None:
        back, self._back = self._back, []
        if self.is_up and back:
            self.receive(back)

    def leave_behind(self) -> None:
        """There is no other process to go on in: the code that does not obey is left to itself."""

    def kill(self) -> None:
        """What its code still says is not heard; then it is as new."""
        for seat in list(self.seats.values()):
            self._runtime.receive([Abandon(seat.slot)])
        self.lost()
        self.is_up = True
        self._on_change(self)

    async def stop(self, within: float) -> None:
        self.is_up = False
        self._runtime.close()
