"""What one attempt has at the border: its questions to the node, its step keys for model calls, what it was granted.

The n-th answer to one content is the step of occurrence n. A call that came to nothing gives its occurrence back, so
that the next try of the same content, by the border, the client or the framework, is that step: a replay asks for it
once, gets the answer and never sees the failure that went before.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import Literal

from pilothouse.domain.journal import step_key
from pilothouse.domain.price import Tokens
from pilothouse.wire.frames import AskCall, CallDenied, CallGranted, Message, SettleCall

CallKind = Literal["model", "tool", "step"]
Outcome = Literal["ok", "failed", "refused", "throttled", "dropped", "lost"]
"""`failed` by the provider's fault, `refused` for what it was (4xx), `throttled` (429), `dropped`: never sent,
`lost`: sent, and nobody knows what became of it."""


class Passage:
    """`tell` sends a frame to the node, `tell_still` also while the attempt ends: what was used must be heard."""

    def __init__(
        self,
        slot: int,
        tell: Callable[[Message], None],
        tell_still: Callable[[Message], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._slot, self._tell, self._tell_still, self._loop = slot, tell, tell_still, loop
        self._ref = 0
        self._waiting: dict[int, asyncio.Future[CallGranted | CallDenied]] = {}
        self._next: dict[str, int] = {}
        self._free: dict[str, list[int]] = {}
        self.raised: dict[str, int] = {}
        """How often a person has granted a budget once more to this run."""

    # --- step keys ---

    def take(self, name: str, digest: str) -> int:
        """The occurrence that a call of this content is."""
        content = f"{name}-{digest}"
        free = self._free.get(content)
        if free:
            return heapq.heappop(free)
        number = self._next[content] = self._next.get(content, 0) + 1
        return number

    def give_back(self, name: str, digest: str, number: int) -> None:
        heapq.heappush(self._free.setdefault(f"{name}-{digest}", []), number)

    @staticmethod
    def key(name: str, digest: str, number: int) -> str:
        return step_key(name, digest, number)

    # --- questions ---

    async def ask(
        self,
        kind: CallKind,
        is_step: bool,
        provider: str = "",
        model: str = "",
        input_tokens: int = 0,
        output_tokens: int = 0,
        is_spare: bool = False,
    ) -> CallGranted | CallDenied:
        self._ref += 1
        ref = self._ref
        answer: asyncio.Future[CallGranted | CallDenied] = self._loop.create_future()
        self._waiting[ref] = answer
        raised = dict(self.raised)
        wish = AskCall(self._slot, ref, kind, provider, model, input_tokens, output_tokens, is_step, raised, is_spare)
        self._tell(wish)
        try:
            return await answer
        except asyncio.CancelledError:  # it may have been granted meanwhile, or will be
            self.settle(ref, "dropped")
            raise
        finally:
            self._waiting.pop(ref, None)

    def settle(
        self,
        ref: int,
        outcome: Outcome,
        tokens: Tokens | None = None,
        cost: float = 0.0,
        wait: float = 0.0,
        is_billed: bool = False,
    ) -> None:
        self._tell_still(SettleCall(self._slot, ref, outcome, tokens, cost, wait, is_billed))

    def answered(self, answer: CallGranted | CallDenied) -> None:
        waiting = self._waiting.get(answer.ref)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def close(self) -> None:
        """The attempt ends: whoever waits for an answer is cancelled."""
        for waiting in self._waiting.values():
            waiting.cancel()
