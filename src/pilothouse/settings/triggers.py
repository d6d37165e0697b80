"""What comes in and goes out by itself: receivers, schedules and sources, from the settings to what each room is given.

Whatever cannot be is told here, before anything starts: a secret, a network, a rule, an expression.
"""

import os
import socket
from collections.abc import Callable
from importlib.util import find_spec
from urllib.parse import urlsplit

from msgspec import Raw, json

from pilothouse.communication.deliveries.options import DeliveryOptions, ReceiverOptions
from pilothouse.communication.triggers.amqp import AmqpQueue
from pilothouse.communication.triggers.folder import Folder
from pilothouse.communication.triggers.kafka import KafkaTopic
from pilothouse.communication.triggers.loop import SourceLoop
from pilothouse.communication.triggers.mqtt import MqttTopic
from pilothouse.communication.triggers.nats import JetStream
from pilothouse.communication.triggers.push import Desk
from pilothouse.communication.triggers.redis import RedisStream
from pilothouse.communication.triggers.registry import Sources
from pilothouse.communication.triggers.sqs import SqsQueue
from pilothouse.domain.address import LOOPBACK, Networks, read_networks
from pilothouse.domain.delivery import Receiver, Receivers
from pilothouse.domain.ids import DEFAULT_TENANT
from pilothouse.domain.schedule import Rule, Schedule
from pilothouse.domain.signature import ReviewLinks, read_secret
from pilothouse.domain.source import SourceRule
from pilothouse.domain.topic import SUBSCRIBER, check_pattern
from pilothouse.engine.cron import check_rule
from pilothouse.engine.source import Intake
from pilothouse.engine.world import World
from pilothouse.errors import SettingsInvalid
from pilothouse.ports.identity import Identity
from pilothouse.ports.source import Source
from pilothouse.settings.tree import Settings, SourceSettings


def schedules(settings: Settings) -> dict[str, list[Schedule]]:
    """Those of the file, by tenant. Raises `SettingsInvalid` for one that cannot be."""
    found: dict[str, list[Schedule]] = {DEFAULT_TENANT: []}
    for name, one in settings.schedules.items():
        rule = Rule(cron=one.cron, every_seconds=one.every_seconds, at=one.at, zone=one.zone)
        try:
            check_rule(rule)
        except ValueError as fault:
            raise SettingsInvalid(reason=f"schedules.{name}: {fault}") from None
        if one.agent not in settings.agents:
            raise SettingsInvalid(reason=f"schedules.{name}: there is no agent {one.agent}")
        found.setdefault(one.tenant, []).append(
            Schedule(
                name=name,
                agent=one.agent,
                rule=rule,
                input=Raw(json.encode(one.input)),
                session=one.session,
                subject=one.subject,
                metadata=one.metadata,
                misfire=one.misfire,
                overlap=one.overlap,
                jitter_seconds=one.jitter_seconds,
            )
        )
    return found


def receivers(settings: Settings) -> Receivers:
    """Who is told of events by this deployment: receivers outside, and the agents that start at what runs publish.
    Raises `SettingsInvalid` for a pattern that is none."""
    found = [
        Receiver(
            name=name,
            events=one.events,
            agents=one.agents,
            where=dict(one.where),
            ordered=one.ordered,
            topics=_patterns(f"receivers.{name}.topics", one.topics),
        )
        for name, one in settings.receivers.items()
    ]
    found += [
        Receiver(name=SUBSCRIBER + name, events=(), topics=_patterns(f"agents.{name}.subscribes", one.subscribes))
        for name, one in settings.agents.items()
        if one.subscribes
    ]
    return Receivers(tuple(found), signs=settings.deliveries.secret is not None)


def _patterns(name: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    for one in patterns:
        try:
            check_pattern(one)
        except ValueError as fault:
            raise SettingsInvalid(reason=f"{name}: {fault}") from None
    return patterns


def review_links(settings: Settings) -> ReviewLinks | None:
    """Raises `SettingsInvalid` when links are wanted and there is nothing to sign them with."""
    says = settings.deliveries
    if not says.review_url:
        return None
    if not says.review_url.startswith(("https://", "http://")):
        raise SettingsInvalid(reason="deliveries.review_url is no address", hint="Write it as https://ops.example.com/")
    keys = read_keys("deliveries", says.secret, says.previous_secret)
    if not keys:
        raise SettingsInvalid(
            reason="deliveries.review_url is set, and links are signed with deliveries.secret, which is not",
            hint='Set deliveries.secret = "whsec_..." (openssl rand -base64 32).',
        )
    return ReviewLinks(keys, says.review_url.rstrip("/") + "/", says.review_hours * 3600, says.review_signin)


def delivery_options(settings: Settings) -> DeliveryOptions:
    """Raises `SettingsInvalid` for a secret, network or URL that cannot be used."""
    says = settings.deliveries
    keys = read_keys("deliveries", says.secret, says.previous_secret)
    found = {}
    for name, one in settings.receivers.items():
        kind = SCHEMES.get(one.url.partition(":")[0])
        try:
            if kind is not None:
                _check_installed(kind)
        except ValueError as fault:
            raise SettingsInvalid(reason=f"receivers.{name}: {fault}") from None
        own = read_keys(f"receivers.{name}", one.secret, one.previous_secret)
        found[name] = ReceiverOptions(one.url, own or keys, one.format, one.headers)
    return DeliveryOptions(found, keys, open_networks(settings), says.within_seconds, says.at_once, says.at_once_each)


def read_keys(section: str, *secrets: str | None) -> tuple[bytes, ...]:
    try:
        return tuple(read_secret(one) for one in secrets if one is not None)
    except ValueError as fault:
        raise SettingsInvalid(reason=f"{section}.secret: {fault}") from None


def open_networks(settings: Settings) -> Networks:
    try:
        networks = read_networks(settings.deliveries.networks)
    except ValueError as fault:
        raise SettingsInvalid(reason=f"deliveries.networks: {fault}") from None
    return (*networks, *LOOPBACK) if settings.deliveries.loopback else networks


# --- sources ----------------------------------------------------------------------------------------------------------


def sources(settings: Settings, world: World, warn: Callable[[str], None]) -> Sources:
    """Raises `SettingsInvalid` for one that cannot be."""
    desks: dict[str, Desk] = {}
    loops: dict[str, tuple[str, SourceLoop]] = {}
    for name, one in settings.sources.items():
        if one.agent not in settings.agents:
            raise SettingsInvalid(reason=f"sources.{name}: there is no agent {one.agent}")
        rule = SourceRule(
            name=name,
            agent=one.agent,
            input=one.input,
            key=one.key,
            order=one.order,
            concurrency=one.concurrency,
            acknowledge=one.acknowledge,
        )
        try:
            intake = Intake(rule, one.tenant)
            if one.kind == "http":
                desks[name] = Desk(intake, one.verify, _source_keys(one), _identity(one))
            else:
                loops[name] = (one.kind, SourceLoop(world, intake, _adapter(settings, name, one), warn))
        except ValueError as fault:
            raise SettingsInvalid(reason=f"sources.{name}: {fault}") from None
    return Sources(desks, loops)


def _source_keys(one: SourceSettings) -> tuple[bytes, ...]:
    if one.verify in ("key", "oidc"):
        return ()
    if one.secret is None:
        raise ValueError(f"verify = {one.verify!r} needs a secret")
    secrets = [one.secret, *([] if one.previous_secret is None else [one.previous_secret])]
    return tuple(read_secret(text) if one.verify == "standard" else text.encode() for text in secrets)


def _identity(one: SourceSettings) -> Identity | None:
    if one.verify != "oidc":
        return None
    from pilothouse.security.identity import IdentityTokens, IssuerKeys  # and what it loads, where it is wanted

    audience = _needed(one.audience, "audience: the one that its sender asks tokens for")
    if not one.senders:
        raise ValueError("it needs senders: anybody can get a token for any audience, so say whose count")
    place = urlsplit(one.keys_url)
    if place.scheme != "https" and (place.scheme, place.hostname) not in (("http", "127.0.0.1"), ("http", "localhost")):
        raise ValueError("keys_url is no https:// address: who can change the keys on their way can send anything")
    return IdentityTokens(one.issuer, audience, one.senders, IssuerKeys(one.keys_url))


def _adapter(settings: Settings, name: str, one: SourceSettings) -> Source:
    if one.kind == "folder":
        return Folder(settings.folder / _needed(one.path, "path"), one.pattern)
    _check_installed(one.kind)
    url = _needed(one.url, "url")
    if one.kind == "sqs":
        return SqsQueue(url)
    stream = _needed(one.stream, "stream")
    match one.kind:
        case "nats":
            return JetStream(url, stream, one.subject or stream, one.group)
        case "amqp":
            return AmqpQueue(url, stream, one.concurrency)
        case "mqtt":
            return MqttTopic(url, stream, one.group, one.concurrency)
        case "kafka":
            return KafkaTopic(url, stream, one.group)
    consumer = f"{socket.gethostname()}-{os.getpid()}"
    return RedisStream(url, stream, one.group, consumer, one.field)


CLIENTS = {"nats": "nats", "redis": "redis", "amqp": "aiormq", "mqtt": "paho", "sqs": "botocore", "kafka": "aiokafka"}
"""The package behind each kind; its extra has the name of the kind."""
SCHEMES = {
    "nats": "nats",
    "redis": "redis",
    "rediss": "redis",
    "amqp": "amqp",
    "amqps": "amqp",
    "sqs": "sqs",
    "sqs+http": "sqs",
}
"""Of the URLs of receivers: the kind that takes it."""


def _check_installed(kind: str) -> None:
    if find_spec(CLIENTS[kind]) is None:
        raise ValueError(f'its client is not installed: pip install "pilothouse[{kind}]"')


def _needed(value: str | None, key: str) -> str:
    if value is None:
        raise ValueError(f"it needs a {key}")
    return value
