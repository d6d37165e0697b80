"""The worker of a node: which agents it serves, where there is room, and which host gets an attempt.

Runs whose last attempt lost its host, without a step finished since, are tried alone, one at a time, in a host of
their own (the *quarantine*): whoever brings hosts down brings down nobody else, and who was only beside it goes on.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pilothouse.compute.environment.build import EnvironmentOptions, Held
from pilothouse.compute.environment.supply import host_variables, obtain_all
from pilothouse.compute.host import INLINE, OWN, Calls, Host, OnLog
from pilothouse.compute.inline import InlineHost
from pilothouse.compute.line import Line
from pilothouse.compute.options import WorkerOptions
from pilothouse.compute.pace import Pace
from pilothouse.compute.process import OWN_GROUND, Ground, ProcessHost, host_config
from pilothouse.compute.schema import Schemas
from pilothouse.compute.seat import Seat
from pilothouse.compute.sharing import PlaceShares
from pilothouse.domain.agent import Agent
from pilothouse.domain.decision import Decision
from pilothouse.domain.journal import StepRow
from pilothouse.domain.policy import Tool
from pilothouse.domain.price import Price
from pilothouse.domain.retry import Retry
from pilothouse.domain.run import Run
from pilothouse.domain.scratch import ScratchAnswer
from pilothouse.errors import HostUnavailable
from pilothouse.ports.meter import RunMeter, Tracer
from pilothouse.ports.outgoing import Denial
from pilothouse.ports.records import ClaimWish, Queue
from pilothouse.ports.worker import Actor, Assignment, Crew, HostFact, Worker
from pilothouse.sdk.egress.secret import Secrets
from pilothouse.sdk.surroundings import HeldClock
from pilothouse.wire.frames import AgentDescription
from pilothouse.wire.host import HostConfig

CHECK_WITHIN = 10.0
decode_tools = msgspec.json.Decoder(tuple[Tool, ...]).decode
decode_retry = msgspec.json.Decoder(Retry | None).decode
decode_decision = msgspec.json.Decoder(Decision | None).decode


class Waiting(Actor):
    """An attempt that waits for the quarantine. It holds its run, but no host has heard of it."""

    def __init__(self, assignment: Assignment, on_over: Callable[["Waiting"], None]) -> None:
        self.assignment = assignment
        self.seat: Seat | None = None
        self._on_over = on_over
        self._is_over = False

    def acked(self, refs: Sequence[int]) -> None:
        if self.seat is not None:
            self.seat.acked(refs)

    def resolved(self, row: StepRow) -> None:
        if self.seat is not None:
            self.seat.resolved(row)
        else:
            self.assignment.journal.append(row)

    def decided(self, ref: int, row: StepRow) -> None:
        if self.seat is not None:
            self.seat.decided(ref, row)

    def cancel(self, reason: str) -> None:
        if self.seat is not None:
            self.seat.cancel(reason)
        else:
            self.let_go()

    def granted(self, ref: int, price: Price | None) -> None:
        if self.seat is not None:
            self.seat.granted(ref, price)

    def denied(self, ref: int, denial: Denial) -> None:
        if self.seat is not None:
            self.seat.denied(ref, denial)

    def scratch_used(self, ref: int, answer: ScratchAnswer) -> None:
        if self.seat is not None:
            self.seat.scratch_used(ref, answer)

    def let_go(self) -> None:
        """There is no host for it."""
        self.assignment.notebook.hand_back()
        self.assignment.notebook.flush()

    def over(self) -> None:
        if self.seat is not None:
            self.seat.over()
        elif not self._is_over:
            self._is_over = True
            self._on_over(self)


class NodeWorker(Worker):
    """`held_clock`: inline hosts go by it instead of the machine's time."""

    def __init__(
        self,
        owner: str,
        options: WorkerOptions,
        on_work: Callable[[], None],
        meter: RunMeter | None = None,
        held_clock: HeldClock | None = None,
    ) -> None:
        self._held_clock = held_clock
        self._owner, self._options, self._on_work, self._meter = owner, options, on_work, meter
        self._secrets = Secrets()
        self._secrets.learn(list(options.secrets))
        self.on_call: Calls = lambda notebook, call: None
        self.tracer: Tracer | None = None
        """Set before `start`."""
        self.on_log: OnLog = lambda stream, text, run, traceparent: None
        self.hosts: list[Host] = []
        self.problems: dict[str, str] = {}
        self.backlog: set[str] = set()
        """Agents that may have ready runs in the records: new ones must not overtake those."""
        self.is_shared = False
        """Other nodes work on the same records: what began on a release that is not here waits for who has it."""
        self.elsewhere: dict[str, tuple[str, ...]] = {}
        """The releases of each agent that other nodes have."""
        self.slots: dict[str, bytes] = {}
        """By agent the sessions that this node is to remember, as `ClaimWish` says them."""
        self.unbound: set[str] = set()
        """Agents of which the next claim takes the turns of any session."""
        self.is_draining = False
        self.schemas = Schemas()
        self._agents: dict[str, Agent] = {}
        self._running: dict[str, int] = {}
        self._left_count: dict[str, int] = dict.fromkeys(options.agents, 0)
        """How many runs of each agent have left their place."""
        self._pace = Pace()
        self._kinds = {name: INLINE if one.is_inline else OWN for name, one in options.agents.items()}
        """In which hosts an agent runs: inside the node, with what the node has, or in an environment."""
        self._grounds = {OWN: OWN_GROUND}
        self._environments: list[Held] = []
        self._reserved: dict[str, int] = dict.fromkeys(self._kinds.values(), 0)
        """Places taken by `reserve` that `begin` has not used yet, for each kind of host."""
        self._described: dict[Host, dict[str, AgentDescription]] = {}
        """What each host said last, so that it is looked at once and not at each place that becomes free."""
        self._turn = 0
        self._lines: dict[str, Line] = {}
        limits = {name: one.concurrency for name, one in options.agents.items()}
        self.shares = PlaceShares(options.tenant_share, self._kinds, limits)
        self._quarantines: dict[str, ProcessHost] = {}
        self._suspects: deque[Waiting] = deque()
        self._came_up = asyncio.Event()
        self._is_gated = True
        """Until the node has read its policies nobody knows that a call needs no permission."""

    # --- hosts ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Makes the environments that are not there yet, starts the hosts and waits until each has said what it found,
        or the time is over. Raises `EnvironmentFailed`."""
        options = self._options
        await self._prepare_environments()
        for kind, ground in self._grounds.items():
            names = self._agents_of(kind)
            for number in range(options.hosts if names else 0):
                name = f"{number}" if kind == OWN else f"{kind}-{number}"
                self._add(ProcessHost(name, options, names, options.slots, self._call, self._changed, ground))
        inline = self._agents_of(INLINE)
        if inline:
            self._add(self.inline_host(host_config(options, inline, "")))
        try:
            async with asyncio.timeout(options.time_to_load(options.agents)):
                while not all(host.is_up for host in self.hosts):
                    self._came_up.clear()
                    await self._came_up.wait()
        except TimeoutError:
            for name in options.agents:
                if name not in self._agents:
                    problem = f"The agent {name!r} was not loaded within {options.time_to_load([name]):g} s"
                    self.problems.setdefault(name, problem)
        self._keep_spares()

    def _keep_spares(self) -> None:
        """After the hosts that serve, so that these are up sooner."""
        options = self._options
        for kind, ground in self._grounds.items():
            names = self._agents_of(kind)
            for number in range(options.spares if names else 0):
                name = f"spare-{number}" if kind == OWN else f"{kind}-spare-{number}"
                spare = ProcessHost(name, options, names, options.slots, self._call, self._changed, ground)
                spare.is_spare = True
                self._add(spare)

    def _relieve(self) -> None:
        """Spares take the places of hosts that are down or must be replaced; these are the spares once they are up."""
        for host in self.hosts:
            if host.is_spare or (host.is_up and not host.is_tainted):
                continue
            for spare in self.hosts:
                if spare.is_spare and spare.kind == host.kind and spare.is_up and not spare.is_tainted:
                    spare.is_spare, host.is_spare = False, True
                    break

    async def _prepare_environments(self) -> None:
        options = self._options
        said = {name: (one.environment, one.python) for name, one in options.agents.items() if one.environment}
        if not said:
            return
        project = Path(options.project)
        kept = options.environments or EnvironmentOptions(project / ".pilothouse" / "environments")
        loop = asyncio.get_running_loop()

        def say(text: str) -> None:
            loop.call_soon_threadsafe(self.on_log, "environment", text, None, None)

        for wanted, held in await obtain_all(said, project, kept, say):
            kind = wanted.request.digest
            self._environments.append(held)
            self._grounds[kind] = Ground(kind, held.interpreter, host_variables(held, kept.folder))
            self._reserved[kind] = 0
            self._kinds.update(dict.fromkeys(wanted.agents, kind))

    def _agents_of(self, kind: str) -> list[str]:
        return [name for name, one in self._kinds.items() if one == kind]

    def inline_host(self, config: HostConfig) -> InlineHost:
        options = self._options
        return InlineHost(config, options.slots, options.cancel_grace, self._call, self._changed, self._held_clock)

    def _log_of_host(self, stream: str, text: str, run: Run | None, traceparent: str | None) -> None:
        self.on_log(stream, self._secrets.take_out_text(text), run, traceparent)

    def gate(self, is_gated: bool) -> None:
        if is_gated != self._is_gated:
            self._is_gated = is_gated
            for host in [*self.hosts, *self._quarantines.values()]:
                host.gate(is_gated)

    def _hear(self, host: Host) -> None:
        host.gate(self._is_gated)
        host.meter, host.tracer = self._meter, self.tracer
        host.secrets = self._options.secrets
        host.on_log = self._log_of_host
        host.scrub = self._options.scrub
        host.on_lost = self._count_lost

    def _add(self, host: ProcessHost | InlineHost) -> None:
        self._hear(host)
        self.hosts.append(host)
        host.start()

    async def stop(self, within: float) -> None:
        """Ends the hosts. A second call does nothing."""
        self.is_draining = True
        await asyncio.gather(*(host.stop(within) for host in [*self.hosts, *self._quarantines.values()]))
        for held in self._environments:
            held.let_go()

    def _call(self, notebook: object, call: object) -> None:
        self.on_call(notebook, call)  # type: ignore[arg-type]

    def _changed(self, host: Host) -> None:
        """A host came up, lost its link, or has a place more."""
        if host.is_up and host.agents is not self._described.get(host):
            self._described[host] = host.agents
            self._describe(list(host.agents.values()))
        if self._options.spares:
            self._relieve()
        self._came_up.set()
        if self._lines:
            self._serve_lines()
        if self._suspects:
            self._seat_suspects()
        if self.backlog and not self.is_draining:
            self._on_work()

    def _describe(self, found: list[AgentDescription]) -> None:
        for description in found:
            known = self._agents.get(description.name)
            if description.problem is not None:
                self.problems[description.name] = description.problem
            elif known is None or known.release != description.release:
                self.problems.pop(description.name, None)
                self._agents[description.name] = self._agent(description)
                self.backlog.add(description.name)

    def _agent(self, found: AgentDescription) -> Agent:
        says = self._options.agents[found.name]
        keep = found.keep if says.keep is None else says.keep
        return Agent(
            name=found.name,
            mode=found.mode,  # type: ignore[arg-type]
            release=found.release,
            description=found.description,
            keep=keep if isinstance(keep, str) else float(keep),
            concurrency=says.concurrency,
            retry=says.retry or decode_retry(found.retry) or Retry(attempts=1),
            timeout=says.timeout or found.timeout,
            session_ttl=says.session_ttl,
            history_limit=says.history_limit,
            input_schema=found.input_schema,
            output_schema=found.output_schema,
            on_release_change=says.on_release_change,
            text_input=found.text_input,
            free_input=found.free_input,
            exact_schema=found.exact_schema,
            keeps_trail=found.keeps_trail,
            tools=decode_tools(found.tools),
            decision=says.decision or decode_decision(found.decision),
            appeals=says.appeals,
            incidents=says.incidents,
            evaluation=says.evaluation,
        )

    # --- agents and places ------------------------------------------------------------------------------------------

    @property
    def owner(self) -> str:
        return self._owner

    def host_facts(self) -> list[HostFact]:
        facts = [self._fact(f"{number}", host) for number, host in enumerate(self.hosts)]
        return facts + [self._fact("quarantine", host) for host in self._quarantines.values()]

    def _fact(self, name: str, host: Host) -> HostFact:
        kind = f"{host.kind}, spare" if host.is_spare else host.kind
        return HostFact(f"{name} ({kind})", host.is_up, sorted(host.agents), len(host.seats), host.places, host.used)

    def find(self, agent: str) -> Agent | None:
        return self._agents.get(agent)

    def releases(self, agent: str) -> frozenset[str]:
        found = self._agents.get(agent)
        return frozenset() if found is None else frozenset((found.release,))

    def takers(self, agent: str) -> Sequence[str]:
        return ()

    def warm(self, tenant: str, agent: str, session: str | None) -> str:
        """There is no other."""
        return ""

    def suspect(self, taker: str) -> None:
        """There is no other."""

    def agents(self) -> list[Agent]:
        return list(self._agents.values())

    def _all_places(self, kind: str) -> int:
        """Taken ones included; of hosts that are up."""
        return sum(host.slots for host in self.hosts if host.kind == kind and host.is_up and not host.is_spare)

    def _may_take(self, agent: str, tenant: str) -> bool:
        free, places = self._places(agent), self._all_places(self._kinds[agent])
        return self.shares.may_take(agent, tenant, free, places, self._running.get(agent, 0))

    def _places(self, agent: str) -> int:
        """How many more attempts of the agent could begin now."""
        if self.is_draining:
            return 0
        kind = self._kinds[agent]
        places = -self._reserved[kind]
        for host in self.hosts:
            if host.kind == kind:
                places += host.places
        limit = self._agents[agent].concurrency
        return min(places, limit - self._running.get(agent, 0)) if limit else places

    def wishes(self) -> tuple[ClaimWish, ...]:
        """What could be claimed now, and reserves it; what was not claimed is given back with `unreserve`. Agents with
        a backlog share the places, and who comes first changes, so that none can keep another waiting."""
        found = [agent for agent in sorted(self.backlog) if agent in self._agents]
        self._turn += 1
        start = self._turn % len(found) if found else 0
        wishes = []
        for position, agent in enumerate(found[start:] + found[:start]):
            free = self._places(agent)
            count = min(-(-free // (len(found) - position)), CLAIM_AT_MOST)
            if count > 0:
                places, running = self._all_places(self._kinds[agent]), self._running.get(agent, 0)
                release = self._agents[agent].release
                wish = self.shares.wish(agent, release, count, free, places, running)
                if self.is_shared:
                    keeps = self._agents[agent].on_release_change == "stop"
                    elsewhere = self.elsewhere.get(agent, ())
                    slots = b"" if agent in self.unbound else self.slots.get(agent, b"")
                    self.unbound.discard(agent)
                    wish = replace(wish, elsewhere=elsewhere, keeps_release=keeps, slots=slots)
                wishes.append(wish)
                self._take(agent, count)
        return tuple(wishes)

    def has_place(self, agent: str) -> bool:
        return agent in self._agents and self._places(agent) > 0

    def reserve(self, agent: str, tenant: str) -> bool:
        if agent in self.backlog or self._lines.get(agent) or self._places(agent) <= 0:
            return False
        shares = self.shares
        if (shares.has_several or tenant != shares.only) and not self._may_take(agent, tenant):
            return False
        self._take(agent)
        shares.hold(agent, tenant)
        return True

    def _take(self, agent: str, count: int = 1) -> None:
        self._reserved[self._kinds[agent]] += count
        self._running[agent] = self._running.get(agent, 0) + count

    def unreserve(self, agent: str, tenant: str) -> None:
        self.shares.let_go(agent, tenant)
        self.give_back(agent, 1)

    def give_back(self, agent: str, count: int) -> None:
        """Places that were reserved for a claim, and that no run came for."""
        self._reserved[self._kinds[agent]] -= count
        self._running[agent] -= count
        self._serve_lines()

    async def wait_place(self, agent: str, tenant: str, within: float) -> bool:
        line = self._lines.get(agent)
        if line is None:
            line = self._lines[agent] = Line(self._options.tenant_share)
        self.shares.meet((tenant,))
        place = line.join(tenant)
        if place is None:
            return False
        try:
            await asyncio.wait((place,), timeout=within)
        except asyncio.CancelledError:
            if place.done():  # it was given in the moment in which the caller went away
                self.unreserve(agent, tenant)
            raise
        finally:
            if not place.done():
                place.cancel()
                line.leave(tenant, place)
        return not place.cancelled()

    def _serve_lines(self) -> None:
        """Stateless callers that wait, in turns of tenants, for each agent."""
        for agent, line in self._lines.items():
            while line and (called := line.call(partial(self._may_take, agent))) is not None:
                tenant, place = called
                if not place.done():
                    self._take(agent)
                    self.shares.hold(agent, tenant)
                    place.set_result(None)

    def _count_lost(self) -> None:
        if self._meter is not None:
            self._meter.host_lost()

    def crew(self) -> Crew:
        """As if this node were alone: `roster` knows of others."""
        options = self._options
        places = options.hosts * options.slots
        limits = {name: min(one.concurrency or places, places) for name, one in options.agents.items()}
        return Crew(1, places, limits, self._pace.seconds())

    def look_at_pace(self, at: float) -> None:
        """Once a second or so; `at` in seconds."""
        self._pace.look(at, self._running, self._left_count)

    def queue_counted(self, queue: Queue) -> None:
        if self._meter is not None:
            self._meter.queue_counted(queue.ready, queue.held, queue.running, queue.waiting)

    def reviews_counted(self, open: Mapping[str, tuple[int, float]]) -> None:
        if self._meter is not None:
            self._meter.reviews_counted(open)

    def claimed(self, count: int) -> None:
        if self._meter is not None:
            self._meter.claimed(count)

    def leases_taken_over(self, count: int) -> None:
        if self._meter is not None and count:
            self._meter.leases_taken_over(count)

    def begin(self, assignment: Assignment) -> Actor:
        name = assignment.agent.name
        kind = self._kinds[name]
        self._reserved[kind] -= 1
        notebook = assignment.notebook
        run = notebook.run
        if self._meter is not None and run.epoch <= 1:
            self._meter.run_started(name, max(0, (run.started_at or run.created_at) - run.created_at) / 1e6)
        if run.losses > 0 and notebook.kept and kind != INLINE:
            waiting = Waiting(assignment, self._forget_suspect)
            self._suspects.append(waiting)
            asyncio.get_running_loop().call_soon(self._seat_suspects)
            return waiting
        host = self._emptiest(kind)
        if host is None:  # it went down between the reservation and now
            lost = Waiting(assignment, self._give_up)
            asyncio.get_running_loop().call_soon(lost.let_go)
            return lost
        return host.seat(assignment, self._left)

    def _emptiest(self, kind: str) -> Host | None:
        best, most = None, 0
        for host in self.hosts:
            if host.kind == kind and (places := host.places) > most:
                best, most = host, places
        return best

    def _give_up(self, waiting: Waiting) -> None:
        name = waiting.assignment.agent.name
        self._running[name] -= 1
        self.shares.let_go(name, waiting.assignment.notebook.run.tenant)

    def _forget_suspect(self, waiting: Waiting) -> None:
        self._suspects.remove(waiting)
        self._give_up(waiting)

    def _left(self, seat: Seat) -> None:
        self._running[seat.agent] -= 1
        self._left_count[seat.agent] += 1
        run = seat.notebook.run
        self.shares.let_go(seat.agent, run.tenant)

    def _seat_suspects(self) -> None:
        """The next suspect gets the quarantine of its environment for itself."""
        if not self._suspects:
            return
        if self.is_draining:
            for waiting in list(self._suspects):
                waiting.let_go()
            return
        for waiting in list(self._suspects):
            quarantine = self._quarantine_of(self._kinds[waiting.assignment.agent.name])
            if quarantine.places > 0:
                self._suspects.remove(waiting)
                waiting.seat = quarantine.seat(waiting.assignment, self._left)

    def _quarantine_of(self, kind: str) -> ProcessHost:
        host = self._quarantines.get(kind)
        if host is None:
            name = "quarantine" if kind == OWN else f"{kind}-quarantine"
            ground, names = self._grounds[kind], self._agents_of(kind)
            host = self._quarantines[kind] = ProcessHost(
                name, self._options, names, 1, self._call, self._changed, ground
            )
            self._hear(host)
            host.start()
        return host

    async def check(self, agent: str, input: bytes) -> list[dict[str, str]]:
        """Asks a host that is up; when none is, or the asked one dies, the next that comes up within the time. What is
        a fault by the schema already needs no host: it is told while there is none, or none that answers."""
        kind, by_schema = self._kinds[agent], partial(self.schemas.faults, self._agents[agent], input)
        loop = asyncio.get_running_loop()
        until = loop.time() + CHECK_WITHIN
        while not self.is_draining and (left := until - loop.time()) > 0:
            host = next((one for one in self._hosts_of(kind) if one.is_up), None)
            if host is not None:
                answer = await host.check(agent, input, left, by_schema)
                if answer is not None:
                    return answer
            elif faults := by_schema():
                return faults
            else:
                self._came_up.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._came_up.wait()
        raise HostUnavailable(agent=agent)

    def _hosts_of(self, kind: str) -> Iterator[Host]:
        yield from (host for host in self.hosts if host.kind == kind)
        if kind in self._quarantines:
            yield self._quarantines[kind]


CLAIM_AT_MOST = 128
