"""What the settings say of work: the Options of compute and the limits of the engine, made from the tree.

Rooms are not given the tree, and the composition root does not repeat its names.
"""

from pilothouse.compute.environment.build import EnvironmentOptions
from pilothouse.compute.options import AgentOptions, WorkerOptions
from pilothouse.domain.scale import ScaleRule
from pilothouse.domain.scratch import ScratchLimits
from pilothouse.domain.scrub import Scrubber
from pilothouse.engine.world import Limits
from pilothouse.errors import SettingsInvalid
from pilothouse.settings.border import outgoing_options, secrets_of
from pilothouse.settings.tree import DAY, AgentSettings, LogSettings, PoolSettings, Settings
from pilothouse.wire.host import PoolConfig, ToolWords


def limits(settings: Settings) -> Limits:
    says, scale = settings.limits, settings.scale
    return Limits(
        queue=says.queue,
        scale=ScaleRule(scale.busy, scale.drain_seconds, scale.least, scale.most),
        queue_wait=says.queue_wait_seconds,
        session_queue=says.session_queue,
        signals=says.signals,
        steps=says.steps,
        depth=says.depth,
        log_bytes=says.log_bytes,
        held_bytes=says.held_bytes,
        unkept_stream_bytes=says.unkept_stream_bytes,
        idempotency_ttl=says.idempotency_seconds,
        losses=settings.worker.losses_limit,
    )


def scratch_limits(settings: Settings) -> ScratchLimits:
    return ScratchLimits(settings.hot.value_bytes, settings.hot.keys)


def worker_options(settings: Settings) -> WorkerOptions:
    worker = settings.worker
    agents = {name: _agent_options(settings, agent) for name, agent in settings.agents.items()}
    return WorkerOptions(
        project=str(settings.folder),
        agents={} if settings.server.role == "gateway" else agents,
        hosts=worker.hosts,
        spares=worker.spare_hosts,
        slots=worker.slots,
        tenant_share=settings.limits.tenant_share,
        park_after=worker.park_after_seconds,
        cancel_grace=worker.cancel_grace_seconds,
        threads=worker.threads,
        memory=worker.host_memory_mb * 1024 * 1024,
        cores=worker.host_cores,
        is_alone=not settings.records.is_shared,
        retention_days=settings.records.retention_days,
        agent_retention_days={
            name: agent.retention_days for name, agent in settings.agents.items() if agent.retention_days is not None
        },
        tenant_retention_days=settings.records.tenant_days or {},
        environments=environment_options(settings),
        checkpoint_every=settings.audit.checkpoint_seconds,
        pools=pools(settings),
        outgoing=outgoing_options(settings),
        secrets=secrets_of(settings),
        scrub=scrubber(settings.log),
    )


def scrubber(settings: LogSettings) -> Scrubber:
    try:
        return Scrubber(settings.scrub, settings.scrub_patterns)
    except ValueError as error:
        raise SettingsInvalid(reason=f"log.scrub_patterns: {error}") from None


def environment_options(settings: Settings) -> EnvironmentOptions:
    says = settings.environments
    return EnvironmentOptions(settings.folder / says.folder, says.tool, says.build_seconds, says.kept)


def _agent_options(settings: Settings, agent: AgentSettings) -> AgentOptions:
    isolation = agent.isolation or settings.worker.isolation
    return AgentOptions(
        target=agent.target,
        environment=agent.environment,
        python=agent.python,
        mode=agent.mode,
        keep=agent.keep,
        concurrency=agent.concurrency,
        timeout=agent.timeout_seconds,
        retry=agent.retry,
        decision=agent.decision,
        appeals=agent.appeals,
        incidents=agent.incidents,
        evaluation=agent.evaluation,
        is_inline=isolation == "inline" and not agent.environment,
        on_release_change=agent.on_release_change,
        history_limit=agent.history_limit,
        session_ttl=agent.session_ttl_seconds or settings.records.session_days * DAY or None,
        loads_within=agent.loads_within_seconds,
        tools={
            name: ToolWords(risk=one.risk, labels=one.labels, once=one.once, needs=one.needs)
            for name, one in agent.tools.items()
        },
        options=agent.options,
    )


def pools(settings: Settings) -> dict[str, PoolConfig]:
    """Raises `SettingsInvalid`: what runs in a pool connects where it likes, so rules about that would be broken."""
    if settings.pools and settings.egress.mode != "open":
        raise SettingsInvalid(
            reason=f"egress.mode is {settings.egress.mode!r}, and steps of a pool connect without asking",
            hint='Take the tables [pools.*] out, or set egress.mode = "open".',
        )
    return {name: _pool(one) for name, one in settings.pools.items()}


def _pool(says: PoolSettings) -> PoolConfig:
    return PoolConfig(
        kind=says.kind,
        processes=says.processes,
        cpus=says.cpus or float(says.processes),
        gpus=says.gpus,
        memory=says.memory_mb * 1024 * 1024,
        queue=says.queue,
        wait=says.wait_seconds,
        address=says.address,
    )
