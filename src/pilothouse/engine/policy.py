"""The policies of a tenant: proposed, compared with what happened lately, and only then active.

A set of policies is text with a version. It becomes active when a replay of recent actions shows none that would be
newly allowed, or when a person signs for those (G6); agents never write policies (G10). The active one is a document of
the records; each node compiles it against the tools that its hosts have described, again when those change. A set that
cannot be compiled any more denies everything: it is not left out (I15).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from pilothouse.domain.policy import (
    PUBLISH,
    Difference,
    Evaluation,
    Mode,
    PolicyRequest,
    Ruling,
    Tool,
    difference,
    hand_off_tool,
    publish_tool,
    rule,
    version_of,
)
from pilothouse.domain.principal import Principal
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.encoding import encode
from pilothouse.engine.principal import is_bounded
from pilothouse.engine.world import World
from pilothouse.errors import Forbidden, PolicyInvalid, PolicyUnsigned, StateConflict, Unsupported
from pilothouse.ports.change import Change, Conflict, WriteDocument
from pilothouse.ports.policy import ActivePolicies, CompiledPolicies
from pilothouse.ports.records import RunFilter

POLICY = "policy"
REPLAY_RUNS = 500
REPLAY_ACTIONS = 2000
EXAMPLES = 50


class StoredPolicies(Struct, frozen=True, kw_only=True):
    """What is kept. `signed_by`: who took the newly allowed upon themselves."""

    version: str
    text: str
    mode: Mode
    activated_at: int
    activated_by: str
    signed_by: str | None = None


class DenyAll(CompiledPolicies):
    """In the place of policies that cannot be used."""

    annotations: Mapping[str, Mapping[str, str]] = {}

    def __init__(self, reason: str) -> None:
        self._wrong = Evaluation(False, (), (reason,))

    def evaluate(self, request: PolicyRequest) -> tuple[Evaluation, Evaluation]:
        return self._wrong, self._wrong


class Compared(Struct, frozen=True):
    """One recent action under the active policies and under proposed ones."""

    run: str
    step: str
    tool: str
    difference: Difference
    before: Ruling
    after: Ruling


class Comparison(Struct, frozen=True):
    """The counts of all, and examples of what differs."""

    version: str
    actions: int
    same: int
    newly_denied: int
    newly_asked: int
    newly_allowed: int
    examples: tuple[Compared, ...]


_read = msgspec.json.Decoder(StoredPolicies).decode


def known_tools(world: World) -> tuple[Tool, ...]:
    """What hosts have described, by name; of two with one name the riskier one. Then the hand-offs to their agents."""
    order = ("read", "reversible", "irreversible", "consequential")
    found: dict[str, Tool] = {}
    for agent in world.worker.agents():
        for tool in agent.tools:
            known = found.get(tool.name)
            if known is None or order.index(tool.risk) > order.index(known.risk):
                found[tool.name] = tool
    for agent in world.worker.agents():
        one = hand_off_tool(agent.name, agent.input_schema)
        found[one.name] = one
    found[PUBLISH] = publish_tool()
    return tuple(found[name] for name in sorted(found))


def compile_text(world: World, text: str) -> CompiledPolicies:
    """Raises `PolicyInvalid` with every fault."""
    if world.language is None:
        raise Unsupported(what="A policy")
    return world.language.compile(text, known_tools(world), [agent.name for agent in world.worker.agents()])


def schema_of(world: World) -> bytes:
    if world.language is None:
        raise Unsupported(what="A policy")
    return world.language.schema_of(known_tools(world), [agent.name for agent in world.worker.agents()])


async def load_policies(world: World) -> None:
    """What is active, as the records have it now. Called at the start and with every round of leases."""
    if world.language is None:
        world.knows_rules = True
        gate(world)
        return
    tools = known_tools(world)
    found: dict[str, ActivePolicies] = {}
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(None, POLICY, "active", cursor, 200)
        for one in page:
            kept = _read(one.body)
            active = world.policies.get(one.tenant)
            if active is None or (active.version, active.mode, active.tools) != (kept.version, kept.mode, tools):
                active = ActivePolicies(kept.version, kept.mode, _compiled(world, kept.text), tools)
            found[one.tenant] = active
        if cursor is None:
            break
    world.policies = found
    world.knows_rules = True
    gate(world)


def gate(world: World) -> None:
    """Hosts propose calls only where somebody would decide them."""
    world.worker.gate(bool(world.policies) or bool(world.holds) or is_bounded(world))


def _compiled(world: World, text: str) -> CompiledPolicies:
    try:
        return compile_text(world, text)
    except PolicyInvalid as error:
        return DenyAll(f"the active policies do not fit the tools any more ({error.message})")


async def get_policies(world: World, tenant: str) -> StoredPolicies | None:
    found = await world.records.get_document(tenant, POLICY)
    return None if found is None or found.state != "active" else _read(found.body)


def ruling_under(compiled: CompiledPolicies, request: PolicyRequest) -> Ruling:
    return rule(*compiled.evaluate(request), compiled.annotations)


async def recent_actions(world: World, tenant: str) -> Sequence[tuple[str, str, PolicyRequest]]:
    """(run, step, request) of the actions that were decided lately, the newest runs first."""
    found: list[tuple[str, str, PolicyRequest]] = []
    cursor: str | None = None
    seen = 0
    while seen < REPLAY_RUNS and len(found) < REPLAY_ACTIONS:
        page = await world.records.list_runs(tenant, RunFilter(), cursor, 100)
        for run in page.items:
            steps: dict[str, PolicyRequest] = {}
            for row in await world.records.load_journal(tenant, run.id):
                if row.kind == "gate" and row.input is not None:
                    asked: dict[str, Any] = msgspec.json.decode(row.input)
                    step = asked.pop("step")
                    asked["arguments"] = encode(asked["arguments"])
                    asked["approved"] = False
                    several = {name: tuple(asked.get(name, ())) for name in ("labels", "via", "roles")}
                    steps[step] = PolicyRequest(**asked | several)
            found += [(run.id, step, request) for step, request in steps.items()]
        seen += len(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    return found[:REPLAY_ACTIONS]


async def compare(world: World, tenant: str, text: str) -> Comparison:
    """Recent actions under the active policies and under these. Without active ones everything was allowed."""
    after = compile_text(world, text)
    active = world.policies.get(tenant)
    counts = dict.fromkeys(("same", "newly_denied", "newly_asked", "newly_allowed"), 0)
    examples: list[Compared] = []
    actions = await recent_actions(world, tenant)
    for run, step, request in actions:
        old = Ruling("allow") if active is None or active.mode == "log" else ruling_under(active.compiled, request)
        new = ruling_under(after, request)
        kind = difference(old, new)
        counts[kind] += 1
        if kind != "same" and len(examples) < EXAMPLES:
            examples.append(Compared(run, step, request.tool, kind, old, new))
    return Comparison(version_of(text), len(actions), **counts, examples=tuple(examples))


async def activate(
    world: World, by: Principal, text: str, mode: Mode, *, signed: bool
) -> tuple[StoredPolicies, Comparison]:
    """Makes these policies the active ones. Raises `PolicyInvalid`; `PolicyUnsigned` when actions would be newly
    allowed and no person signs for them; `Forbidden` for agents."""
    if by.kind == "agent":
        raise Forbidden(reason="agents write no policies", hint="Ask a person who has the scope policy:write.")
    found = await compare(world, by.tenant, text)
    is_person = by.kind == "human"
    needs_person = found.newly_allowed > 0 or (mode == "log" and by.tenant in world.policies)
    if needs_person and not (signed and is_person):
        raise PolicyUnsigned(count=found.newly_allowed)
    at = world.clock.now()
    stored = StoredPolicies(
        version=found.version,
        text=text,
        mode=mode,
        activated_at=at,
        activated_by=by.name,
        signed_by=by.name if needs_person else None,
    )
    await _write(world, by, stored, "active", found)
    await load_policies(world)
    return stored, found


async def deactivate(world: World, by: Principal) -> None:
    """No policies are active any more: everything is allowed again. Only a person may do that."""
    if by.kind != "human":
        raise Forbidden(reason="only a person switches policies off", hint="Use the key of a person.")
    stored = await get_policies(world, by.tenant)
    if stored is not None:
        await _write(world, by, stored, "retired", None)
        await load_policies(world)


async def _write(
    world: World, by: Principal, stored: StoredPolicies, state: Literal["active", "retired"], found: Comparison | None
) -> None:
    at = world.clock.now()
    kept = await world.records.get_document(by.tenant, POLICY)
    write = WriteDocument(by.tenant, POLICY, POLICY, kept.version if kept else 0, state, encode(stored), at)
    counts = None
    if found is not None:
        counts = {name: getattr(found, name) for name in ("actions", "newly_denied", "newly_asked", "newly_allowed")}
    told = entry(
        by.tenant, f"policy:{stored.version}", at, f"policy.{'activated' if state == 'active' else 'retired'}", by.name,
        mode=stored.mode, replay=counts, signed_by=stored.signed_by,
    )  # fmt: skip
    archive_id = f"{POLICY}:{stored.version}"
    archived = await world.records.get_document(by.tenant, archive_id)
    archive = WriteDocument(
        by.tenant, archive_id, "policy_version", archived.version if archived else 0, "", encode(stored), at
    )
    try:
        await world.records.commit(Change((write, archive, told)))
    except Conflict:
        raise StateConflict(
            "The policies were changed by somebody else meanwhile.", hint="Compare again, then activate.",
            session=POLICY, version=0,
        ) from None  # fmt: skip
