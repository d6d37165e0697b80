"""A host as the node sees it: seats, a link to where user code runs, and the words that come back.

`Host` is the same whether the code runs in another process (`process`) or in this one (`inline`). It hands each word
to the notebook of its seat and has all notebooks flushed once a tick. A host that ends, or stays silent although it
was asked, loses its attempts; that is all: the runs are in the records.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import msgspec

from pilothouse.compute.seat import Seat
from pilothouse.domain.run import Run
from pilothouse.domain.secret import Secret
from pilothouse.domain.trace import traceparent_below
from pilothouse.errors import TooLarge
from pilothouse.ports.meter import RunMeter, Tracer
from pilothouse.ports.outgoing import CallResult, CallWish
from pilothouse.ports.worker import Assignment, Notebook
from pilothouse.wire import frames
from pilothouse.wire.frames import AgentDescription, Message

ANSWERS_SOON = 0.5
"""Seconds after which it is of use to say what can be said without the host."""
LEFT_BEHIND_LIMIT = 8

OWN, INLINE = "own", "inline"
"""Kinds of hosts: a process with what the node itself has installed, and the node's own process. Every other kind is
the digest of an environment."""

Calls = Callable[[Notebook, frames.CallAgent | frames.ProposeAction], None]
"""What to do when an attempt calls another agent, or proposes to call a tool."""

OnLog = Callable[[str, str, Run | None, str | None], None]
"""Stream, text, the run that it is about, and what that run's trace stands below."""
"""(stream, text, run): a line that user code printed, or that tells of a host. The run is known when one printed it."""

decode_faults = msgspec.json.Decoder(list[dict[str, str]]).decode


class Host(ABC):
    """Seats and words. Subclasses say how messages get there, and when it is up."""

    kind = OWN
    """Hosts of one kind are equal: the same interpreter with the same things installed, or the node itself."""

    def __init__(self, slots: int, grace: float, on_call: Calls, on_change: Callable[["Host"], None]) -> None:
        self.agents: dict[str, AgentDescription] = {}
        self.is_up = False
        self.left_behind = 0
        self.seats: dict[int, Seat] = {}
        self.on_log: OnLog = lambda stream, text, run, traceparent: None
        self.scrub: Callable[[str], str] = str
        self.meter: RunMeter | None = None
        self.tracer: Tracer | None = None
        self.secrets: tuple[Secret, ...] = ()
        self.on_lost: Callable[[], None] = lambda: None
        """The host ended although nobody asked it to."""
        self.slots = slots
        self._free = list(range(slots - 1, -1, -1))
        self._grace, self._on_call, self._on_change = grace, on_call, on_change
        self._dirty: dict[int, Notebook] = {}
        self._checks: dict[int, asyncio.Future[bytes | None]] = {}
        """Answers that are waited for; cancelled when the host is lost."""
        self._pings: dict[int, Callable[[], None]] = {}
        self._ref = 0
        self._is_gated = False
        self.heard_at = 0.0
        self.is_spare = False
        """It has loaded its agents and gets no run before it takes the place of a host that serves; see `worker`."""
        self.used = 0
        """Resident bytes when it was looked at last; 0 for the node's own process."""

    # --- seats ------------------------------------------------------------------------------------------------------

    @property
    def places(self) -> int:
        """For new attempts."""
        return len(self._free) if self.is_up and not self.is_spare and self.left_behind < LEFT_BEHIND_LIMIT else 0

    @property
    def is_idle(self) -> bool:
        return not self.seats

    def seat(self, assignment: Assignment, on_over: Callable[[Seat], None]) -> Seat:
        slot = self._free.pop()
        seat = self.seats[slot] = Seat(self, slot, assignment, self._grace, on_over)
        description = self.agents.get(seat.agent)
        wants_history = description is None or description.wants_history
        notebook = seat.notebook
        self.send(_start(slot, assignment, notebook, wants_history, self._trace_of(notebook)))
        return seat

    def _trace_of(self, notebook: Notebook) -> str | None:
        """What the run's own calls are to stand below: its span when there will be one, else what it stands below."""
        if self.tracer is None:
            return notebook.traceparent
        return traceparent_below(notebook.run.id, notebook.traceparent)

    def free(self, seat: Seat, *, after_ping: bool) -> None:
        self.seats.pop(seat.slot, None)
        if after_ping and self.is_up:
            self.ping(lambda: self._free.append(seat.slot))
        else:
            self._free.append(seat.slot)
        self._on_change(self)

    def leave_behind(self) -> None:
        """An attempt was taken away whose code goes on. Some of those a host can carry; then another replaces it."""
        self.left_behind += 1
        self._on_change(self)

    @property
    def is_tainted(self) -> bool:
        return self.left_behind >= LEFT_BEHIND_LIMIT

    # --- words ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def send(self, message: Message) -> None: ...

    @abstractmethod
    def kill(self) -> None:
        """Ends the host at once; its attempts are lost."""

    @abstractmethod
    async def stop(self, within: float) -> None:
        """Ends the host when no attempt can come any more. A second call does nothing."""

    def ping(self, then: Callable[[], None]) -> None:
        self._ref += 1
        self._pings[self._ref] = then
        self.send(frames.Ping(self._ref))

    async def check(
        self, agent: str, input: bytes, within: float, meanwhile: Callable[[], list[dict[str, str]]]
    ) -> list[dict[str, str]] | None:
        """The faults of an input; None: no answer came, since the host went down or the time is over. A host whose code
        blocks it answers late: then what `meanwhile` finds is told, if that is anything."""
        self._ref += 1
        ref = self._ref
        answer = self._checks[ref] = asyncio.get_running_loop().create_future()
        self.send(frames.Check(ref, agent, input))
        try:
            await asyncio.wait((answer,), timeout=ANSWERS_SOON)
            if not answer.done():
                if faults := meanwhile():
                    return faults
                await asyncio.wait((answer,), timeout=max(0.0, within - ANSWERS_SOON))
        finally:
            self._checks.pop(ref, None)
        if not answer.done() or answer.cancelled():
            return None
        faults = answer.result()
        return [] if faults is None else decode_faults(faults)

    def receive(self, messages: Sequence[Message]) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        seats = self.seats
        for message in messages:
            slot = getattr(message, "slot", -1)
            seat = seats.get(slot) if slot >= 0 else None
            if seat is None:
                self._about_host(message)
            elif not seat.is_silent:
                notebook = seat.notebook
                if notebook.kept or type(message) is not frames.Finished:  # the end of any other is told at once
                    if not self._dirty:
                        asyncio.get_running_loop().call_soon(self._flush)
                    self._dirty[slot] = notebook
                self._about_attempt(seat, notebook, message)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for notebook in dirty.values():
            notebook.flush()

    def _about_attempt(self, seat: Seat, notebook: Notebook, message: Message) -> None:
        kind = type(message)
        if kind is frames.StepEnded:  # the three that come most go first, without matching their fields
            notebook.step_ended(message.ref, message.row, message.started)  # type: ignore[attr-defined]
            if self.meter is not None and message.row.kind != "checkpoint":  # type: ignore[attr-defined]
                row = message.row  # type: ignore[attr-defined]
                seconds = (row.finished_at - row.started_at) / 1e6
                self.meter.step_ended(seat.agent, row.kind, row.status, seconds)
            if self.tracer is not None:
                self.tracer.step_ended(notebook.run, notebook.traceparent, message.row)  # type: ignore[attr-defined]
        elif kind is frames.Emit:
            notebook.emit(message.delta, message.event)  # type: ignore[attr-defined]
            if not seat.has_spoken and not message.event:  # type: ignore[attr-defined]
                seat.has_spoken = True
                self._tell_first(seat, notebook.run)
        elif kind is frames.Finished:
            seat.is_silent = True
            notebook.finish(message.output, message.state, message.usage, message.trail)  # type: ignore[attr-defined]
        else:
            self._about_seldom(seat, notebook, message)

    def _about_seldom(self, seat: Seat, notebook: Notebook, message: Message) -> None:
        match message:
            case frames.StepStarted(_, ref, durable, row):
                notebook.step_started(ref, row, durable)
            case frames.Log(_, stream, text):
                text = self.scrub(text)
                notebook.log(stream, text)
                self.on_log(stream, text, notebook.run, notebook.traceparent)
            case frames.AskReview(_, ref, row, question, details, kind, expires_at):
                notebook.ask_review(ref, row, question, details, kind, expires_at)
            case frames.CallAgent() | frames.ProposeAction():
                self._on_call(notebook, message)
            case frames.AskCall(_, ref, kind, provider, model, given, wanted, is_step, raised, is_spare):
                notebook.ask_call(ref, CallWish(kind, provider, model, given, wanted, is_step, raised, is_spare))
            case frames.SettleCall(_, ref, outcome, tokens, cost, wait, is_billed):
                notebook.settle_call(ref, CallResult(outcome, tokens, cost, wait, is_billed))
            case frames.UseScratch(_, ref, scratch_wish):
                notebook.use_scratch(ref, scratch_wish)
            case _:
                seat.is_silent = True
                self._about_end(notebook, message)

    def _about_end(self, notebook: Notebook, message: Message) -> None:
        match message:
            case frames.Failed(_, error, kinds, traceback, usage, retryable):
                if traceback:
                    self.on_log("traceback", self.scrub(traceback), notebook.run, notebook.traceparent)
                notebook.fail(error, kinds, usage, retryable)
            case frames.Parked(_, due_at, usage):
                notebook.park(due_at, usage)
            case frames.Rejected(_, faults):
                notebook.reject(faults)
            case frames.Stopped(_, usage):
                notebook.stop(usage)

    def _about_host(self, message: Message) -> None:
        match message:
            case frames.Pong(ref):
                then = self._pings.pop(ref, None)
                if then is not None:
                    then()
            case frames.Checked(ref, faults):
                answer = self._checks.get(ref)
                if answer is not None and not answer.done():
                    answer.set_result(faults)
            case frames.Log(_, stream, text):
                self.on_log(stream, self.scrub(text), None, None)
            case frames.Hello(_, _, agents):
                if self.secrets:
                    self.send(frames.KnowSecrets(list(self.secrets)))
                self.agents = {agent.name: agent for agent in agents}
                self.is_up = True
                self.gate(self._is_gated)
                self._on_change(self)

    def gate(self, is_gated: bool) -> None:
        """Whether calls of tools are proposed before they run; a host that comes up later hears it first."""
        self._is_gated = is_gated
        if self.is_up:
            self.send(frames.Rules(is_gated))

    def _tell_first(self, seat: Seat, run: Run) -> None:
        if self.meter is not None and run.epoch <= 1:
            waited = max(0, (run.started_at or run.created_at) - run.created_at) / 1e6
            self.meter.run_spoke(seat.agent, waited + self.heard_at - seat.began_at)

    def refuse(self, message: Message) -> None:
        """No frame can hold this message: a run with so much behind it ends, and its host lives on."""
        seat = self.seats.get(getattr(message, "slot", -1))
        if seat is None or seat.is_silent:
            return
        error = TooLarge(what="The journal of the run, with its input and session,", limit=frames.FRAME_LIMIT)
        body = msgspec.json.encode({"code": error.code, "message": error.message, "hint": error.hint})
        seat.is_silent = isinstance(message, frames.Start)
        seat.notebook.fail(body, ["TooLarge"], None, False)
        seat.notebook.flush()

    def lost(self) -> None:
        """The link is gone: every attempt loses its host."""
        was_up, self.is_up = self.is_up, False
        seats = list(self.seats.values())
        for seat in seats:
            seat.is_silent = True
            seat.notebook.lose()
            seat.notebook.flush()
        for answer in self._checks.values():
            answer.cancel()
        pings, self._pings = self._pings, {}
        for then in pings.values():
            then()
        if was_up:
            self._on_change(self)


def _start(
    slot: int, assignment: Assignment, notebook: Notebook, wants_history: bool, traceparent: str | None
) -> frames.Start:
    run = notebook.run
    session = assignment.session
    return frames.Start(
        slot,
        run.tenant,
        run.id,
        run.agent,
        assignment.agent.release,
        run.mode,
        run.attempt,
        run.input,
        notebook.kept,
        assignment.stream,
        run.metadata,
        run.subject,
        run.session,
        session.state if session is not None else b"{}",
        frames.pack_history(assignment.turns) if wants_history else frames.NO_HISTORY,
        assignment.journal,
        assignment.now,
        assignment.strict,
        run.origin,
        assignment.trails,
        traceparent=traceparent,
        deadline_at=_deadline(assignment),
    )


def _deadline(assignment: Assignment) -> int | None:
    """The end of the run or of this attempt, whichever comes first."""
    of_run, timeout = assignment.notebook.run.deadline_at, assignment.agent.timeout
    if timeout is None:
        return of_run
    of_attempt = assignment.now + round(timeout * 1e6)
    return of_attempt if of_run is None else min(of_run, of_attempt)
