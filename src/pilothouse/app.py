"""The composition root: settings in, a running node out. The only place where adapters meet.

Start: bind the address, take the records, start the hosts, take over what earlier nodes left, then serve. Stop: refuse
new work, let attempts end within the grace, hand the others back to the queue, tell the readers of streams to come
again, write what waits, let go of the records.
"""

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop
from msgspec import Struct

from pilothouse.backing import blobs_of, bus_of, checkpoint_objects_of, hot_of, records_of
from pilothouse.communication.bus.carried import CarriedBus
from pilothouse.communication.deliveries.loop import Sender
from pilothouse.communication.http.app import HttpApp
from pilothouse.communication.http.options import STREAMS, HttpOptions
from pilothouse.communication.http.server import HttpServer, bind, is_loopback
from pilothouse.compute.clock import SystemClock, SystemEntropy
from pilothouse.compute.loops import Loops
from pilothouse.compute.outgoing import OutgoingOptions
from pilothouse.compute.price import Prices
from pilothouse.compute.roster import SharedWorker
from pilothouse.compute.schedules import Schedules
from pilothouse.compute.worker import NodeWorker
from pilothouse.console.page import BuiltPages
from pilothouse.domain.alert import Gained
from pilothouse.domain.objective import Alert, Objectives
from pilothouse.domain.principal import LOCAL, PrincipalKind
from pilothouse.domain.run import Run
from pilothouse.engine.alert import Judged, judge_alerts, retire_alerts
from pilothouse.engine.calling import open_accounts, share_limits
from pilothouse.engine.evidence import archive_all, checkpoint_all
from pilothouse.engine.key import create_key, load_keys
from pilothouse.engine.ledger import Ledger
from pilothouse.engine.outgoing import Outgoing
from pilothouse.engine.own_key import BUS_KEY, NOBODY, own_key
from pilothouse.engine.run import place_run
from pilothouse.engine.scale import read_scale
from pilothouse.engine.schedule import keep_schedules
from pilothouse.engine.session_memory import SessionMemory
from pilothouse.engine.taking import Takings
from pilothouse.engine.world import World
from pilothouse.errors import AddressRefused, RecordsInvalid, RecordsUnavailable, SettingsInvalid, TargetInvalid
from pilothouse.observability.alert import Alerts, watch
from pilothouse.observability.log import Log
from pilothouse.observability.metric import Metrics
from pilothouse.ports.evidence import Archive, Witness
from pilothouse.security.cedar import CedarLanguage
from pilothouse.security.door import KeyDoor
from pilothouse.security.signing import signing_key
from pilothouse.security.witness import ObjectArchive, file_witnesses
from pilothouse.settings import Settings
from pilothouse.settings.border import prices_of
from pilothouse.settings.explain import explain_settings
from pilothouse.settings.triggers import delivery_options, open_networks, receivers, review_links, schedules, sources
from pilothouse.settings.work import limits, scratch_limits, worker_options
from pilothouse.storage.blobs.mover import Mover
from pilothouse.storage.hot.memory import MemoryHotStore
from pilothouse.storage.records import backup as copies
from pilothouse.wire.alert import alert_view, summary

if TYPE_CHECKING:
    from pilothouse.observability.trace import OtlpTracer

from pilothouse.wire.node import SettingView

Say = Callable[[str], None]
Progress = Callable[[int, int], None]

DRAIN_POLL = 0.02
CLOCK_SET_EVERY = 10.0
WRITE_COSTS_WITHIN = 5.0
STOP_HOSTS_WITHIN = 2.0
STOP_SENDER_WITHIN = 2.0
JUDGE_WITHIN = 5.0
ARCHIVE_WITHIN = 5.0


class Node:
    """`start`, then `stop`; stopping twice does nothing."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.log = Log(say, settings.log.level, settings.log.format)
        self.clock = SystemClock()
        self.metrics = Metrics()
        self.metrics.objectives = {name: one.objectives for name, one in settings.agents.items() if one.objectives}
        self.alerts = Alerts(
            self.metrics.objectives, self.metrics.objective_counts, self.metrics.totals,
            self._judge_alerts, lambda agents: retire_alerts(self.world, agents, facts_of), self._log_alert,
        )  # fmt: skip
        self.metrics.firing = self.alerts.firing
        self.records = records_of(settings)
        self.records.meter = self.metrics
        self.mover: Mover | None = None
        blobs = self.records.blobs = blobs_of(settings)
        if blobs is not None:
            self.mover = Mover(self.records, blobs, settings.blobs.from_bytes, self.clock.now, self.log.warn)
        self.bus = bus_of(settings)
        self.worker_options = worker_options(settings)
        owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.worker = NodeWorker(owner, self.worker_options, self._work, self.metrics)
        self.worker.on_log = self.log.host
        self.shared = shared_worker(settings, self.worker, self.log.warn)
        self.tracer = tracer(settings, self.metrics)
        self.worker.tracer = self.tracer
        self.world = World(
            self.records,
            self.bus,
            self.clock,
            SystemEntropy(),
            self.shared or self.worker,
            limits(settings),
            receivers(settings),
        )
        self.world.sessions = SessionMemory(is_shared=settings.records.is_shared)
        hot = hot_of(settings, self.clock.now)
        self.world.hot, self.world.scratch = hot, scratch_limits(settings)
        self.world.language = CedarLanguage()
        self.world.witnesses, self.world.archive = witnesses_of(settings)
        self.world.links = review_links(settings)
        self.world.is_traced = self.log.is_traced = self.tracer is not None
        self.world.on_end = self._tell_end
        self.world.outgoing = outgoing_of(settings, self.worker_options.outgoing)
        self.metrics.providers = self.world.outgoing.state
        self.metrics.scale = partial(read_scale, self.world)
        if not isinstance(hot, MemoryHotStore):
            self.metrics.limits = share_limits(
                self.world, hot, settings.hot.within_seconds, self._workers, self.log.warn
            )
        open_accounts(self.world)
        self.loops = Loops(self.world, self.worker, self.worker_options, self.log.warn)
        self.takings = Takings(self.world, place_run)
        self.sources = sources(settings, self.world, self.log.warn)
        self.schedules = Schedules(self.world, self.log.warn)
        self.sender = Sender(self.world, delivery_options(settings), self.log.warn, self.metrics)
        self.http: HttpApp | None = None
        self.server: HttpServer | None = None
        self._timekeeper: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._watching: asyncio.Task[None] | None = None

    def _workers(self) -> int:
        """How many nodes make calls, as far as is known."""
        return 1 if self.shared is None else self.shared.count_workers(self.clock.now())

    @property
    def port(self) -> int:
        return self.server.port if self.server is not None else 0

    def _work(self) -> None:
        self.loops.ring_work()

    def _tell_end(self, run: Run, traceparent: str | None) -> None:
        finished_at = run.finished_at or run.created_at
        self.metrics.run_ended(run.agent, run.status, (finished_at - run.created_at) / 1e6, run.usage)
        if self.tracer is not None:
            self.tracer.run_ended(run, traceparent)
        self.log.run_ended(run, traceparent)

    def _judge_alerts(self, agent: str, promised: Objectives, gained: Gained, is_last: bool) -> Awaitable[Judged]:
        return judge_alerts(self.world, agent, promised, gained, facts_of, is_last=is_last)

    def _log_alert(self, alert: Alert) -> None:
        what = "alert" if alert.resolved_at is None else "resolved"
        self.log.write("warning", f"{what}: {summary(alert)}", severity=alert.severity, agent=alert.agent)

    async def start(self) -> None:
        """Raises what an operator must mend: the address, the records, an agent that cannot be loaded."""
        host, port = self.settings.server.host, self.settings.server.port
        listener = bind(host, port) if is_loopback(host) else await self._bind_to_others(host, port)
        try:
            self.world.signer = signing_key(self.settings.audit.origin, self.settings.audit_key)
            hosts = asyncio.get_running_loop().create_task(self.worker.start())  # user code loads meanwhile
            try:
                await self.records.open()
                await self._set_clock()
                await hosts
                await self._start_work(listener)
            except BaseException:
                hosts.cancel()
                await asyncio.gather(hosts, return_exceptions=True)
                await self.loops.stop()
                await self.worker.stop(0)
                self.takings.stop()
                if self.shared is not None:
                    await self.shared.leave(self.world)
                if isinstance(self.bus, CarriedBus):
                    await self.bus.stop()
                await self.records.close()
                raise
        except BaseException:
            listener.close()
            raise

    async def _bind_to_others(self, host: str, port: int) -> socket.socket:
        """An address that other machines reach is listened on only where a key is needed to be let in."""
        file = self.settings.records.path
        if file is not None and not file.exists():
            raise AddressRefused(host=host)
        await self.records.open()
        try:
            await load_keys(self.world)
            if not self.world.keys:
                raise AddressRefused(host=host)
            return bind(host, port)
        except BaseException:
            await self.records.close()
            raise

    async def _start_work(self, listener: socket.socket) -> None:
        self.records.listen(self.bus.publish)
        for problem in self.worker.problems.values():
            raise TargetInvalid(problem)
        if isinstance(self.bus, CarriedBus):
            self.bus.key = await own_key(self.world, NOBODY, BUS_KEY)
            self.bus.name = self.worker.owner
            await self.bus.start()
        if self.shared is not None:
            self.takings.start()
            await self.shared.join(self.world)
        await self.loops.start()
        await keep_schedules(self.world, schedules(self.settings))
        self.schedules.start()
        self.sender.start()
        if self.mover is not None:
            self.mover.start()
        self._watching = asyncio.get_running_loop().create_task(watch(self.alerts, self.log.warn))
        options, door = http_options(self.settings), KeyDoor(self.world)
        self.http = HttpApp(self.world, options, self.metrics, BuiltPages(), door, told(self.settings), self.sources)
        if self.settings.records.is_shared:
            self._timekeeper = asyncio.get_running_loop().create_task(self._keep_time(), name="timekeeper")
        self.server = HttpServer(self.http, listener, self.settings.server.grace_seconds)
        await self.server.start()
        self.sources.start()
        gc.collect()
        gc.freeze()  # what is here stays: the collector need not look at it again

    async def _set_clock(self) -> bool:
        """By that of the records. False: nobody shares it."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        instant = await self.records.now()
        if instant is not None:
            self.clock.follow(instant, round((loop.time() - before) * 1e6))
        return instant is not None

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SET_EVERY)
            with contextlib.suppress(RecordsUnavailable):
                if not await self._set_clock():
                    return

    async def stop(self) -> None:
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._timekeeper is not None:
            self._timekeeper.cancel()
            await asyncio.gather(self._timekeeper, return_exceptions=True)
        self.world.is_draining = True
        self.worker.is_draining = True
        if self._watching is not None:
            self._watching.cancel()
        if self.mover is not None:
            await self.mover.stop()
        await self.sources.stop()
        await self.schedules.stop()
        await self.loops.drain()
        if self.shared is not None:
            await self.shared.leave(self.world)
        if self.http is not None:
            self.http.drain()
        grace = self.settings.server.grace_seconds
        if not await self._attempts_end(grace):
            for live in list(self.world.attempts.values()):
                live.let_go()
            await self._attempts_end(self.settings.worker.cancel_grace_seconds + 1.0)
        await self.loops.stop()
        await self.world.outgoing.costs.close(WRITE_COSTS_WITHIN)
        if self.http is not None:
            self.http.release()
        if self.server is not None:
            await self.server.stop()
        await self.worker.stop(STOP_HOSTS_WITHIN)
        self.takings.stop()
        if isinstance(self.bus, CarriedBus):
            await self.bus.stop()
        await self.sender.stop(STOP_SENDER_WITHIN)
        await self.world.outgoing.limits.stop()
        if self.world.hot is not None:
            await self.world.hot.stop()
        await self._judge_last()
        try:
            await checkpoint_all(self.world)
            async with asyncio.timeout(ARCHIVE_WITHIN):
                for refused in await archive_all(self.world):
                    self.log.warn(refused)
        except Exception as error:  # the next start makes it; the rest of the end must go on
            self.log.warn(f"the last checkpoint of the audit log was not made, or not archived: {error}")
        await self.records.close()
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.stop)

    async def _judge_last(self) -> None:
        """What was counted since the last round is kept for whoever goes on."""
        if self._watching is None:
            return
        await asyncio.wait({self._watching}, timeout=JUDGE_WITHIN)
        try:
            async with asyncio.timeout(JUDGE_WITHIN):
                await self.alerts.round(is_last=True)
        except Exception as error:  # the rest of the end must go on
            self.log.warn(f"what was counted for objectives in the last minute is not kept: {error!r}")

    async def _attempts_end(self, within: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while self.world.attempts and (left := until - loop.time()) > 0:
            ends = {live.ended for live in self.world.attempts.values() if not live.ended.done()}
            if ends:
                await asyncio.wait(ends, timeout=left)
            else:  # who waited for it has gone, and its host has not let go yet
                await asyncio.sleep(DRAIN_POLL)
        return not self.world.attempts


def shared_worker(settings: Settings, own: NodeWorker, say: Say) -> SharedWorker | None:
    """None: no other node works on these records."""
    return SharedWorker(own, settings.server.role, say) if settings.records.is_shared else None


def outgoing_of(settings: Settings, options: OutgoingOptions) -> Outgoing:
    """Who decides over calls, with the accounts and the prices it goes by."""
    found = Outgoing(options.rules, Ledger(options.budgets, options.tenant, settings.records.is_shared))
    found.prices = Prices(prices_of(settings), has_table=settings.egress.prices != "none")
    return found


def witnesses_of(settings: Settings) -> tuple[tuple[Witness, ...], Archive | None]:
    """Where signed checkpoints go beside the records."""
    objects = checkpoint_objects_of(settings)
    archive = None if objects is None else ObjectArchive(objects)
    return file_witnesses(settings.folder, settings.audit.checkpoint_file), archive


def facts_of(alert: Alert) -> bytes:
    return msgspec.json.encode(alert_view(alert))


def tracer(settings: Settings, metrics: Metrics) -> "OtlpTracer | None":
    """`metrics` counts its spans. Raises `SettingsInvalid`."""
    says = settings.traces
    if says.endpoint is None:
        return None
    from pilothouse.observability.collector import place_of
    from pilothouse.observability.trace import OtlpTracer

    try:
        found = OtlpTracer(place_of(says.endpoint, "pilothouse", os.environ), says.share, says.slow_seconds)
    except OSError as error:
        raise SettingsInvalid(
            reason=f"a certificate for traces.endpoint cannot be used: {error.strerror or error}",
            hint="Mend the file that OTEL_EXPORTER_OTLP_CERTIFICATE or _CLIENT_CERTIFICATE names.",
        ) from None
    metrics.spans = found.spans
    return found


def told(settings: Settings) -> list[SettingView]:
    """What this node was told, for those who ask it; secrets are masked."""
    return [
        SettingView(name=one.name, value=msgspec.to_builtins(one.value, enc_hook=str), source=one.source)
        for one in explain_settings(settings)
    ]


def http_options(settings: Settings) -> HttpOptions:
    server = settings.server
    return HttpOptions(
        body_bytes=server.max_body_bytes,
        depth=server.max_depth,
        requests=server.max_requests,
        streams=max(STREAMS, server.max_requests // 2),
        tenant_share=settings.limits.tenant_share,
        heartbeat_every=server.heartbeat_seconds,
        hosts=frozenset(server.trusted_hosts),
        allowed=open_networks(settings),
    )


def run_node(settings: Settings, *, announce: Say, ready: Say) -> int:
    """Runs a node until SIGTERM or SIGINT; a second one ends it at once. `announce` gets log lines, `ready` the
    address once it serves. Returns the exit code; raises what kept it from starting."""
    return uvloop.run(_run(settings, announce, ready))


async def _run(settings: Settings, announce: Say, ready: Say) -> int:
    node = Node(settings, announce)
    asked = asyncio.Event()

    def ask(number: int) -> None:
        if asked.is_set():
            os._exit(128 + number)
        asked.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)
    if not await _started(node, asked):
        return 0
    host = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
    ready(f"http://{host}:{node.port}")
    await asked.wait()
    await node.stop()
    return 0


async def _started(node: Node, asked: asyncio.Event) -> bool:
    """Whether it serves now. Who asks it to stop while it starts, which may take minutes when an environment has to be
    made, does not wait for that. Raises what kept it from starting."""
    loop = asyncio.get_running_loop()
    start, stop = loop.create_task(node.start()), loop.create_task(asked.wait())
    await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not start.done():
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        return False
    await start
    return True


def backup_records(settings: Settings, target: Path, progress: Progress) -> None:
    """An online, verified copy of the records; the node that uses them goes on."""

    async def act() -> None:
        records = records_of(settings)
        await records.backup(str(target), progress)

    asyncio.run(act())


def restore_records(settings: Settings, source: Path, force: bool, progress: Progress) -> None:
    """Puts a verified copy in the place of the records. Raises `RecordsLocked` while a node uses them."""
    if settings.records.is_shared:
        raise RecordsInvalid(
            reason="those on PostgreSQL are restored by its own tools",
            hint="pg_restore --clean --if-exists puts back what pg_dump made; stop all nodes before.",
        )
    copies.restore(str(source), str(settings.records.path), force=force, progress=progress)


def migrate_records(settings: Settings) -> tuple[int, int]:
    """Brings the records to the schema of this version: (before, after). On records that several nodes share this also
    applies what does not suit nodes of the release before: see docs/explanation/many-machines.md."""

    async def act() -> tuple[int, int]:
        records = records_of(settings)
        if settings.records.is_shared:
            await records.migrate(has_post=True)
            return records.found_version, records.schema_version()
        await records.open()
        try:
            return records.found_version, records.schema_version()
        finally:
            await records.close()

    return asyncio.run(act())


class FirstKey(Struct):
    id: str
    text: str


def make_key(
    settings: Settings,
    name: str,
    kind: PrincipalKind,
    scopes: list[str],
    roles: list[str],
    seconds: float | None,
    tenant: str | None = None,
) -> FirstKey:
    """A key, made in the records themselves: how the first one comes about. Raises `RecordsLocked` while a node uses
    them; then the node makes it."""

    async def act() -> FirstKey:
        node = Node(settings, lambda text: None)
        await node.records.open()
        try:
            key, text = await create_key(node.world, LOCAL, name, kind, scopes, roles, seconds, tenant=tenant)
            return FirstKey(key.id, text)
        finally:
            await node.records.close()

    return asyncio.run(act())
