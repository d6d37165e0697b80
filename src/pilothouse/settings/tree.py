"""The settings as one frozen tree of typed sections: what may be set, its default, and the bounds it must keep.

The name of a setting is `section.field`, its variable is `PILOTHOUSE_SECTION_FIELD`; both follow from the fields here,
so a setting is added by adding a field. Spans are seconds, sizes are bytes unless the name says otherwise. Everything
has an upper bound: a typing error must not become a node that waits for a year. Rooms are not given this tree: `app`
makes the Options of each room from it. Every field is explained in docs/reference/settings.md, and a test insists.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from pilothouse.domain.decision import Decision
from pilothouse.domain.delivery import ENDS, AlertEvent, OversightEvent, ToldEvent
from pilothouse.domain.evaluation import Requirement
from pilothouse.domain.ids import DEFAULT_TENANT
from pilothouse.domain.objective import Objectives
from pilothouse.domain.policy import Risk
from pilothouse.domain.retry import Retry
from pilothouse.domain.roster import Role
from pilothouse.domain.run import Mode
from pilothouse.domain.schedule import Misfire, Overlap
from pilothouse.domain.vote import Handling
from pilothouse.settings.outgoing import (
    BudgetSettings,
    EgressSettings,
    ProviderSettings,
    RateSettings,
    SecretSettings,
    TenantSettings,
)

DAY = 86_400.0

Port = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
CountOrNone = Annotated[int, Meta(ge=0, le=10_000_000)]
Bytes = Annotated[int, Meta(ge=1024, le=2**40)]
Seconds = Annotated[float, Meta(gt=0, le=366 * DAY)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=366 * DAY)]
Share = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1, max_length=1024)]
Address = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^https?://.")]
Url = Annotated[str, Meta(min_length=1, max_length=1024, extra={"secret": "password"})]
Secret = Annotated[str, Meta(min_length=1, max_length=2048, extra={"secret": "all"})]
"""Never shown. In the file it may be written as $NAME: then the variable NAME has it."""
Verify = Literal["key", "standard", "github", "stripe", "slack", "token", "oidc"]
Isolation = Literal["process", "inline"]
Keep = bool | Literal["errors"] | Share
Environment = Text | tuple[Text, ...]
OnReleaseChange = Literal["stop", "continue"]


class ServerSettings(Struct, frozen=True, kw_only=True):
    host: Text = "127.0.0.1"
    port: Port = 8700
    """0: any free port; the node says which."""
    role: Role = "all"
    """What this node does, where several share their records."""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=2**30)] = 4 * 1024 * 1024
    max_depth: Annotated[int, Meta(ge=4, le=1000)] = 64
    """How deep arrays and objects may nest in a request."""
    max_requests: Count = 4096
    """Requests at once, streams included; more are answered 503. Half of it, or 2048, may be streams."""
    trusted_hosts: tuple[Text, ...] = ()
    """Names, beside those of this machine, under which callers may address the node: those of a proxy in front."""
    heartbeat_seconds: Annotated[float, Meta(ge=0.1, le=300)] = 15.0
    """A comment goes over a stream that was silent for so long."""
    grace_seconds: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    """After SIGTERM: how long attempts may go on before they are handed back to the queue."""


class RecordsSettings(Struct, frozen=True, kw_only=True):
    url: Url = "sqlite:///pilothouse.db"
    """A relative path is taken from the folder of pilothouse.toml."""
    is_pooled: bool = False
    """Between here and PostgreSQL is a pool that gives out connections for one transaction only."""
    retention_days: Annotated[float, Meta(ge=0, le=36_600)] = 30.0
    """How long ended runs are kept that belong to no session; 0: for ever."""
    tenant_days: dict[str, Annotated[float, Meta(ge=0, le=36_600)]] | None = None
    """The same for single tenants; where the agent says it too, the longer of the two."""
    session_days: Annotated[float, Meta(ge=0, le=36_600)] = 0.0
    """How long a session is kept after its last turn, with all its runs; 0: for ever."""

    @property
    def path(self) -> Path | None:
        """The file of the records; None: they are in PostgreSQL, or in memory and end with the node."""
        path = self.url.removeprefix(SQLITE)
        return None if path == MEMORY or self.is_shared else Path(path)

    @property
    def is_shared(self) -> bool:
        """Whether several nodes may use them."""
        return self.url.startswith(POSTGRES)


class BusSettings(Struct, frozen=True, kw_only=True):
    url: Annotated[
        str, Meta(max_length=1024, pattern=r"^((rediss?|nats|tls)://.+)?$", extra={"secret": "password"})
    ] = ""
    """How nodes that share their records tell each other of work and events; "": through the records."""
    channel: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "pilothouse"
    """The channel or subject of this installation, where several use one broker."""


class HotSettings(Struct, frozen=True, kw_only=True):
    url: Annotated[str, Meta(max_length=1024, pattern=r"^(rediss?://.+)?$", extra={"secret": "password"})] = ""
    """Where short-term state and shared limits are; "": in the memory of each node."""
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "pilothouse"
    """What every key there begins with, where several installations use one server."""
    within_seconds: Annotated[float, Meta(ge=0.01, le=10)] = 0.25
    """What is not answered in that time is done without."""
    value_bytes: Annotated[int, Meta(ge=1024, le=16 * 1024 * 1024)] = 64 * 1024
    """The largest entry of a scratch."""
    keys: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """How many entries the scratch of one session, or of one agent, may have."""
    memory_mb: Annotated[int, Meta(ge=1, le=2**20)] = 64
    """Without `hot.url`: what all of it may take in a node; past it the scratch that was used longest ago is lost."""


OBJECTS = r"^((file|s3|gs|az)://.+)?$"


class BlobSettings(Struct, frozen=True, kw_only=True):
    url: Annotated[str, Meta(max_length=1024, pattern=OBJECTS)] = ""
    """Where long payloads of ended runs are moved: file:///folder, s3://bucket/prefix, gs://, az://; "": nowhere."""
    from_bytes: Annotated[int, Meta(ge=16 * 1024, le=2**30)] = 64 * 1024
    """Payloads from this size on are moved."""


class WorkerSettings(Struct, frozen=True, kw_only=True):
    slots: Annotated[int, Meta(ge=1, le=4096)] = 256
    """Attempts at once in one host."""
    hosts: Annotated[int, Meta(ge=1, le=256)] = 1
    """Host processes for each release."""
    spare_hosts: Annotated[int, Meta(ge=0, le=16)] = 0
    """Hosts that have loaded their agents and take the place of one that died, at once."""
    threads: Annotated[int, Meta(ge=1, le=1024)] = 32
    """Synchronous functions that run at once in a host."""
    isolation: Isolation = "process"
    park_after_seconds: Annotated[float, Meta(ge=0, le=3600)] = 1.0
    """A wait that takes longer ends the attempt and frees the worker."""
    cancel_grace_seconds: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    """What a cancelled attempt is given before it is ended by force."""
    host_memory_mb: Annotated[int, Meta(ge=0, le=2**20)] = 0
    """The memory of one host process; 0: no limit."""
    host_cores: Annotated[int, Meta(ge=0, le=1024)] = 0
    """The processors one host process may use; 0: all."""
    losses_limit: Annotated[int, Meta(ge=1, le=100)] = 3
    """Attempts of a run that may lose their host before it fails with `host_lost`."""


class LimitSettings(Struct, frozen=True, kw_only=True):
    queue: Count = 100_000
    """Runs that may be queued at once in a tenant; more are refused."""
    queue_wait_seconds: SecondsOrNone = 0.0
    """How long a tenant's work for an agent may wait before more of it is refused; 0: as long as it takes."""
    tenant_share: Annotated[float, Meta(ge=0.1, le=1)] = 0.8
    """Of places and requests at once, so many may be taken by whoever comes first, where there is more than one
    tenant; the rest is kept for tenants that hold few. 1: nothing is kept."""
    session_queue: Count = 1_000
    """Turns that may wait in one session."""
    signals: Count = 10_000
    """Signals of one name a run takes."""
    steps: Count = 100_000
    """Steps of one run."""
    depth: Annotated[int, Meta(ge=1, le=1000)] = 32
    """How deep runs may call runs."""
    log_bytes: Bytes = 1024 * 1024
    """What one attempt may print into the events of its run."""
    held_bytes: Bytes = 16 * 1024 * 1024
    """Events of one attempt that wait while the records cannot be written."""
    unkept_stream_bytes: Bytes = 8 * 1024 * 1024
    """What is held for the readers of a run that is not kept."""
    idempotency_seconds: Seconds = DAY
    """How long an Idempotency-Key is remembered."""


class ScaleSettings(Struct, frozen=True, kw_only=True):
    """How many workers an autoscaler is told to have."""

    busy: Annotated[float, Meta(ge=0.05, le=1)] = 0.8
    """The share of places that is to be taken."""
    drain_seconds: Seconds = 30.0
    """Within this time what is ready should have started."""
    least: Annotated[int, Meta(ge=0, le=10_000)] = 1
    most: Annotated[int, Meta(ge=1, le=10_000)] = 100


class EnvironmentSettings(Struct, frozen=True, kw_only=True):
    """Environments that are made for agents."""

    folder: Text = ".pilothouse/environments"
    """Where they are kept; a relative path is taken from the folder of pilothouse.toml."""
    tool: Literal["auto", "uv", "pip"] = "auto"
    build_seconds: Annotated[float, Meta(ge=1, le=DAY)] = 1800.0
    kept: Annotated[int, Meta(ge=0, le=1000)] = 10
    """How many stay that no agent here needs; the last used ones do."""


class DeliverySettings(Struct, frozen=True, kw_only=True):
    secret: Secret | None = None
    """What webhooks of single runs, and of receivers without a secret of their own, are signed with."""
    previous_secret: Secret | None = None
    """Signs beside it, until every receiver knows the new one."""
    loopback: bool = False
    """Whether receivers on this machine may be reached."""
    networks: tuple[Text, ...] = ()
    """Networks that are not public and may be reached."""
    within_seconds: Annotated[float, Meta(ge=1, le=60)] = 15.0
    """How long one try may take."""
    at_once: Annotated[int, Meta(ge=1, le=1024)] = 64
    """Tries at once."""
    at_once_each: Annotated[int, Meta(ge=1, le=1024)] = 8
    """Tries at once of one receiver."""
    review_url: Annotated[str, Meta(max_length=1024)] = ""
    """Where people reach this deployment; links to reviews begin with it. Empty: no links."""
    review_hours: Annotated[float, Meta(gt=0, le=24 * 366)] = 72.0
    """How long such a link counts."""
    review_signin: bool = True
    """Whether a link shows a review only to who is signed in. Deciding always takes a key."""


class ReceiverSettings(Struct, frozen=True, kw_only=True):
    """Who is told of what. Secrets may be written as $NAME: the variable NAME has it."""

    url: Secret
    """Where it is reached."""
    events: tuple[ToldEvent | AlertEvent | OversightEvent, ...] = ENDS
    """Which events it is told of."""
    topics: tuple[Text, ...] = ()
    """Of what runs publish, which topics: patterns."""
    agents: tuple[Text, ...] = ()
    """Of which agents; empty: all."""
    where: dict[str, str | int | float | bool | None] = {}
    """What the event must say, by dotted path."""
    ordered: bool = False
    """The events of one run one after the other."""
    format: Literal["standard", "slack", "teams"] = "standard"
    """How the body is told."""
    secret: Secret | None = None
    """What it is signed with; without it `deliveries.secret`."""
    previous_secret: Secret | None = None
    """Signs beside it while it is replaced."""
    headers: dict[str, Secret] = {}
    """Headers that are sent along."""


class TraceSettings(Struct, frozen=True, kw_only=True):
    endpoint: Address | None = None
    """Where spans go, as OTLP over HTTP: http://127.0.0.1:4318. Without it none are recorded."""
    share: Share = 0.1
    """Of the runs, so many are recorded whole."""
    slow_seconds: Seconds = 30.0
    """A run that took longer, or failed, is recorded whatever `share` says."""


class ScheduleSettings(Struct, frozen=True, kw_only=True):
    """What starts runs by the clock: one of `cron`, `every_seconds` and `at`."""

    agent: Text
    """Which agent it starts."""
    tenant: Text = DEFAULT_TENANT
    """Whose runs these are."""
    cron: Text | None = None
    """Five fields, or six with the seconds first."""
    every_seconds: Annotated[float, Meta(ge=1, le=366 * DAY)] | None = None
    """Seconds between two firings."""
    at: Text | None = None
    """One instant, once."""
    zone: Text = "UTC"
    """The time zone in which `cron` is read."""
    input: Any = None
    """The input of each run."""
    session: Text | None = None
    """The session of each run."""
    subject: Text | None = None
    metadata: dict[str, Any] = {}
    misfire: Misfire = "once"
    """What becomes of firings that nobody was there for."""
    overlap: Overlap = "skip"
    """What happens while the run before still lives."""
    jitter_seconds: Annotated[float, Meta(ge=0, le=DAY)] = 0.0
    """By how much a firing may be moved."""


class SourceSettings(Struct, frozen=True, kw_only=True):
    """Where messages come from that become runs. Secrets and URLs may be written as $NAME."""

    agent: Text
    """Which agent it starts."""
    tenant: Text = DEFAULT_TENANT
    """Whose messages these are."""
    kind: Literal["http", "folder", "nats", "redis", "amqp", "mqtt", "sqs", "kafka"] = "http"
    """What brings the messages."""
    input: Text = "body"
    """How a message becomes the input: JMESPath over body, attributes, key and source."""
    key: Text | None = None
    """What the message is, instead of what its sender says: JMESPath. The same key is the same message."""
    order: Text | None = None
    """Messages of one order are worked off one after the other: JMESPath."""
    concurrency: Annotated[int, Meta(ge=1, le=100_000)] = 16
    """Messages that are taken and not worked off yet, at most."""
    acknowledge: Literal["durable", "end"] = "durable"
    """When its sender hears that a message was taken."""
    verify: Verify = "key"
    """http: how a sender proves itself."""
    secret: Secret | None = None
    """http: what its messages are signed with."""
    previous_secret: Secret | None = None
    """http: is taken beside it while it is replaced."""
    audience: Text | None = None
    """verify "oidc": for whom its identity tokens are made."""
    senders: tuple[Text, ...] = ()
    """verify "oidc": who may send: the email that the token has, or its sub where it has none."""
    issuer: Text = "https://accounts.google.com"
    """verify "oidc": who signs the tokens."""
    keys_url: Text = "https://www.googleapis.com/oauth2/v3/certs"
    """verify "oidc": where the public keys of the issuer are, as a JSON Web Key Set."""
    path: Text | None = None
    """folder: the folder; a relative path is taken from that of pilothouse.toml."""
    pattern: Text = "*"
    """folder: which files."""
    url: Secret | None = None
    """Where the broker is; sqs: the queue; kafka: host:port, several with commas."""
    stream: Text | None = None
    """The stream, or amqp: the queue, mqtt: the topic filter, kafka: the topic."""
    subject: Text | None = None
    """nats: the subject within the stream; without it that of the stream's name."""
    group: Text = "pilothouse"
    """The durable consumer, or the consumer group, that all nodes share; mqtt: the session of one node."""
    field: Text = "body"
    """redis: the field of an entry that is the body."""


class LogSettings(Struct, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    scrub: tuple[Literal["secret", "email", "iban", "card", "phone"], ...] = (
        "secret",
        "email",
        "iban",
        "card",
        "phone",
    )
    """What is taken out of whatever agents print, in the node's log and in the events of the run."""
    scrub_patterns: Annotated[tuple[Text, ...], Meta(max_length=20)] = ()
    """Regular expressions of what is taken out besides."""


class AuditSettings(Struct, frozen=True, kw_only=True):
    origin: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9./_-]{0,99}$")] = "pilothouse"
    """The name under which this deployment signs."""
    key_file: Text = "pilothouse.audit.pem"
    """The private key that signs checkpoints; made when it does not exist. Relative to the folder of the project."""
    checkpoint_seconds: Annotated[float, Meta(ge=1, le=DAY)] = 60.0
    """How often a log that grew gets a checkpoint."""
    checkpoint_file: Annotated[str, Meta(max_length=1024)] = ""
    """Every checkpoint is appended here as well; empty: nowhere. Keep it where this machine cannot rewrite it."""
    checkpoint_url: Annotated[str, Meta(max_length=1024, pattern=OBJECTS)] = ""
    """Every checkpoint becomes an object here as well, as `blobs.url` says where; empty: nowhere."""


class ToolSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is None is left to the tool itself."""

    risk: Risk | None = None
    """How much is at stake when it is called."""
    labels: tuple[Text, ...] | None = None
    """What its results bring into a run."""
    once: bool | None = None
    """It is never silently repeated."""
    needs: tuple[Text, ...] | None = None
    """Roles that the agent and whoever it acts for must hold."""


class PoolSettings(Struct, frozen=True, kw_only=True):
    """Where steps run that are too heavy for a host: `ctx.step(..., pool=NAME)`."""

    kind: Literal["local", "ray"] = "local"
    """Processes of the same machine, or a Ray cluster."""
    processes: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Steps at once, of one host."""
    cpus: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    """Processors that they may ask for together; 0: as many as processes."""
    gpus: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    """The same of GPUs."""
    memory_mb: Annotated[int, Meta(ge=0, le=2**24)] = 0
    """The memory of one process; 0: no limit."""
    queue: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    """Steps that may wait; one more fails."""
    wait_seconds: Annotated[float, Meta(ge=0, le=DAY)] = 60.0
    """How long a pool that is gone is waited for."""
    address: Text = "auto"
    """ray: the address of the cluster; `auto`: the one of this machine."""


class AgentSettings(Struct, frozen=True, kw_only=True):
    """What is None is left to the decorator of the agent, or to the default of the thing."""

    target: Text
    """module:object."""
    subscribes: tuple[Text, ...] = ()
    """Topics, by pattern: each event that a run publishes on one of them starts a run of this agent."""
    environment: Environment | None = None
    """What it needs installed: the folder of a virtual environment, a requirements file, or requirements."""
    python: Text | None = None
    """The Python of that environment: a version, or the path of an interpreter; None: the node's."""
    mode: Mode | None = None
    keep: Keep | None = None
    """Of stateless runs: which are kept."""
    concurrency: CountOrNone = 0
    """Runs of this agent at once; 0: as many as there are slots."""
    timeout_seconds: Seconds | None = None
    """How long one attempt may run."""
    retry: Retry | None = None
    """How a failed run is tried again."""
    decision: Decision | None = None
    """What it decides about people, and which of their groups must be treated alike."""
    appeals: Handling | None = None
    """Who answers appeals against it, and how soon."""
    incidents: Handling | None = None
    """Who answers its incidents; alerts and holds that stop it open one."""
    evaluation: Requirement | None = None
    """What a release must have scored before runs of it are taken in."""
    isolation: Isolation | None = None
    """None: as `worker.isolation`."""
    on_release_change: OnReleaseChange = "stop"
    """What becomes of a run whose code changed under it."""
    history_limit: Annotated[int, Meta(ge=0, le=10_000)] = 100
    """Past turns an attempt is given."""
    session_ttl_seconds: Seconds | None = None
    """A session is swept so long after its last turn; None: as `records.session_days`."""
    retention_days: Annotated[float, Meta(ge=0, le=36_600)] | None = None
    """How long its ended runs are kept; None: as `records.retention_days`."""
    egress: tuple[Text, ...] = ()
    """Hosts that it may connect to: names, `*.example.com`, addresses and networks, each with or without a port."""
    limits: RateSettings | None = None
    """How much a minute its runs may use together of language models."""
    run_budget: BudgetSettings | None = None
    """Hard caps of one run."""
    session_budget: BudgetSettings | None = None
    """Hard caps of one session."""
    budget: BudgetSettings | None = None
    """Hard caps of all its runs together."""
    objectives: Objectives | None = None
    """What is promised of its runs: counted, and alerted on when it is missed."""
    loads_within_seconds: Seconds | None = None
    """How long a host may take to load it."""
    tools: dict[str, ToolSettings] = {}
    """What is said of its tools, by their names."""
    options: dict[str, Any] = {}
    """What its framework takes for a run."""


class Settings(Struct, frozen=True, kw_only=True):
    """`folder` holds the project: it is on the import path, and relative paths start there. `file` is the
    pilothouse.toml that was read, if there is one. `given_by` tells for each setting that was set by whom."""

    server: ServerSettings = ServerSettings()
    records: RecordsSettings = RecordsSettings()
    bus: BusSettings = BusSettings()
    hot: HotSettings = HotSettings()
    blobs: BlobSettings = BlobSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    scale: ScaleSettings = ScaleSettings()
    environments: EnvironmentSettings = EnvironmentSettings()
    log: LogSettings = LogSettings()
    traces: TraceSettings = TraceSettings()
    audit: AuditSettings = AuditSettings()
    deliveries: DeliverySettings = DeliverySettings()
    egress: EgressSettings = EgressSettings()
    tenants: TenantSettings = TenantSettings()
    agents: dict[str, AgentSettings] = field(default_factory=dict)
    receivers: dict[str, ReceiverSettings] = field(default_factory=dict)
    schedules: dict[str, ScheduleSettings] = field(default_factory=dict)
    providers: dict[str, ProviderSettings] = field(default_factory=dict)
    secrets: dict[str, SecretSettings] = field(default_factory=dict)
    sources: dict[str, SourceSettings] = field(default_factory=dict)
    pools: dict[str, PoolSettings] = field(default_factory=dict)
    folder: Path
    file: Path | None = None
    given_by: dict[str, str] = field(default_factory=dict)

    @property
    def audit_key(self) -> Path | None:
        """The file of the key of the audit log; None: the records are in memory, and their key is too."""
        is_in_memory = self.records.path is None and not self.records.is_shared
        return None if is_in_memory else self.folder / self.audit.key_file

    @property
    def url(self) -> str:
        """Where a program of this machine reaches the node."""
        host = self.server.host
        if host.strip("0.:") == "":
            host = "::1" if ":" in host else "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server.port}"


SECTIONS: dict[str, type[Struct]] = {
    "server": ServerSettings,
    "records": RecordsSettings,
    "bus": BusSettings,
    "hot": HotSettings,
    "blobs": BlobSettings,
    "worker": WorkerSettings,
    "limits": LimitSettings,
    "scale": ScaleSettings,
    "environments": EnvironmentSettings,
    "log": LogSettings,
    "traces": TraceSettings,
    "audit": AuditSettings,
    "deliveries": DeliverySettings,
    "egress": EgressSettings,
    "tenants": TenantSettings,
}

NAMED: dict[str, type[Struct]] = {
    "agents": AgentSettings,
    "receivers": ReceiverSettings,
    "schedules": ScheduleSettings,
    "providers": ProviderSettings,
    "secrets": SecretSettings,
    "sources": SourceSettings,
    "pools": PoolSettings,
}
"""Sections of which there is one table for each name."""

NEEDED = {
    "agents": ("target", 'target = "agents:{name}"'),
    "receivers": ("url", 'url = "https://..."'),
    "schedules": ("agent", 'agent = "report"'),
    "secrets": ("value", 'value = "$OPENAI_API_KEY"'),
    "sources": ("agent", 'agent = "report"'),
}
"""The key that each table of them must have, and an example."""


SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")
MEMORY = ":memory:"
_EXAMPLE = "as in sqlite:///pilothouse.db"
_POSTGRES_EXAMPLE = "as in postgresql://user:password@host/database"


def absolute_url(url: str, folder: Path) -> str:
    """The url with its file seen from `folder`. Raises ValueError with what is wrong with it."""
    if url.startswith(POSTGRES):
        if not urlsplit(url).path.strip("/"):
            raise ValueError(f"expected the name of a database behind the host, {_POSTGRES_EXAMPLE}")
        return url
    path = url.removeprefix(SQLITE)
    if not url.startswith(SQLITE) or not path or path.endswith("/") or "?" in path or "#" in path:
        raise ValueError(f"expected sqlite:/// and the path of a file, {_EXAMPLE}, or a database, {_POSTGRES_EXAMPLE}")
    return url if path == MEMORY else SQLITE + str(folder / path)
