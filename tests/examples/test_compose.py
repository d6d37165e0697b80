"""compose.yaml starts what `make cluster` starts: the same parts, roles and settings, in containers that may do little.

There is no Docker where the tests run: the file is checked against the compose specification as far as it is used (a
key that is not listed here is refused), and its commands and variables by the program itself.
"""

import re
import shlex
from pathlib import Path

import click
import jsonschema_rs
import pytest
import yaml

from pilothouse.cli.program import program
from pilothouse.settings import load_settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "06-cluster"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
SERVICES = COMPOSE["services"]

WORDS = {"type": "array", "items": {"type": "string"}}
SPAN = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}
CONDITION = {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}


def record(required=(), **properties):
    return {
        "type": "object", "additionalProperties": False, "required": list(required), "properties": properties,
    }  # fmt: skip


def named(item):
    return {"type": "object", "additionalProperties": item}


SERVICE = record(
    required=["image"],
    image={"type": "string"},
    build=record(context={"type": "string"}, dockerfile={"type": "string"}),
    command=WORDS,
    environment=named({"type": "string"}),
    depends_on={"anyOf": [WORDS, named(record(condition=CONDITION))]},
    volumes=WORDS,
    tmpfs=WORDS,
    read_only={"type": "boolean"},
    cap_drop=WORDS,
    security_opt=WORDS,
    stop_grace_period=SPAN,
    restart={"enum": ["no", "always", "on-failure", "unless-stopped"]},
    ports={"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:[0-9]+:[0-9]+$"}},
    configs={"type": "array", "items": record(source={"type": "string"}, target={"type": "string"})},
    healthcheck=record(test=WORDS, interval=SPAN),
    deploy=record(replicas={"type": "integer", "minimum": 1}),
)
SCHEMA = record(
    required=["services"],
    name={"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
    services=named(SERVICE),
    configs=named(record(content={"type": "string"})),
    volumes=named({"type": "null"}),
)
SCHEMA["patternProperties"] = {"^x-": {}}


def test_the_file_fits_the_compose_specification_and_names_only_what_it_has():
    assert [error.message for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(COMPOSE)] == []
    assert list(jsonschema_rs.validator_for(SCHEMA).iter_errors(COMPOSE | {"service": {}})) != []
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert {one["source"] for one in service.get("configs", ())} <= set(COMPOSE["configs"])
        assert {one.partition(":")[0] for one in service.get("volumes", ())} <= set(COMPOSE["volumes"])
        if "build" in service:
            assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_it_has_the_parts_of_make_cluster():
    source = (FOLDER / "cluster.py").read_text(encoding="utf-8")
    for role in ("gateway", "worker"):
        assert f'--{role}s", type=int, default={SERVICES[role]["deploy"]["replicas"]}' in source
    assert {name: one["image"].partition(":")[0] for name, one in SERVICES.items()} == {
        "database": "postgres", "valkey": "valkey/valkey", "nats": "nats", "balancer": "haproxy",
        "worker": "licence-desk", "gateway": "licence-desk",
    }  # fmt: skip
    set_there = set(re.findall(r'"(PILOTHOUSE_[A-Z_]+)":', source)) - {"PILOTHOUSE_SERVER_PORT"}
    assert set_there <= set(SERVICES["worker"]["environment"])


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_the_command_of_a_node_is_one_of_ours_and_its_settings_load(role, tmp_path):
    service = SERVICES[role]
    entry = re.findall(r"^ENTRYPOINT \[(.*)\]$", CONTAINERFILE, re.MULTILINE)
    assert entry == ['"pilothouse"']
    name, *words = service["command"]
    command = program.get_command(click.Context(program), name)
    assert command is not None
    given = command.make_context(name, list(words)).params
    assert (given["role"], given["port"]) == (role, 8700)
    assert given["host"] == ("0.0.0.0" if role == "gateway" else None)
    variables = {key: re.sub(r"\$\{\w+:\?[^}]*\}", "pw", value) for key, value in service["environment"].items()}
    variables |= dict(re.findall(r"(PILOTHOUSE_\w+)=(\S+)", CONTAINERFILE))
    settings = load_settings(variables, folder=ROOT / "examples" / "01-licence-desk")
    assert settings.records.url == "postgresql://pilothouse:pw@database/pilothouse"
    assert (settings.bus.url, settings.hot.url) == ("nats://nats:4222", "redis://valkey:6379")
    assert int(service["stop_grace_period"].removesuffix("s")) > settings.server.grace_seconds
    assert str(settings.audit_key).startswith(service["volumes"][0].partition(":")[2])


def test_a_node_may_do_little_in_its_container():
    for role in ("gateway", "worker"):
        service = SERVICES[role]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.search(r"^USER 10001$", CONTAINERFILE, re.MULTILINE)
    published = [one for service in SERVICES.values() for one in service.get("ports", ())]
    assert published == ["127.0.0.1:8080:8080"]


def test_what_is_copied_into_the_image_is_let_through_and_is_there():
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for path in re.findall(r"^!(\S+)$", "\n".join(let_in), re.MULTILINE):
        assert (ROOT / path).exists()
    for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE):
        source = shlex.split(line)[0]
        assert source == "." or f"!{source}" in let_in


def test_the_balancer_asks_the_gateways_where_they_listen():
    config = COMPOSE["configs"]["balancer"]["content"]
    assert "gateway:8700" in config
    assert re.search(r"bind :8080$", config, re.MULTILINE)
    assert "GET /readyz" in config
