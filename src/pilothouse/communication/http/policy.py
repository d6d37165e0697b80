"""The routes of policies: look, check, compare with what happened, explain, activate.

Checking and comparing change nothing, and are open to whoever may read the audit log.
"""

import msgspec

from pilothouse.communication.http.call import Call, tenant_of
from pilothouse.domain.policy import PolicyRequest, Tool, version_of
from pilothouse.engine import policy as verbs
from pilothouse.engine.policy import Comparison, StoredPolicies
from pilothouse.errors import PolicyInvalid, PolicyNotFound
from pilothouse.wire.instant import stamp
from pilothouse.wire.policy import (
    CheckView,
    ComparedView,
    ComparisonView,
    ExplainRequest,
    PolicyFault,
    PolicyRequestBody,
    PolicyState,
    PolicyText,
    PolicyView,
    ruling_view,
)


async def get_policies(call: Call) -> None:
    found = await verbs.get_policies(call.front.world, tenant_of(call))
    await call.show(PolicyState(None if found is None else policy_view(found)))


async def get_policy_schema(call: Call) -> None:
    """What policies can speak about: an action for each tool with a risk, and its arguments."""
    await call.answer(200, verbs.schema_of(call.front.world))


async def check_policies(call: Call, body: PolicyText) -> None:
    try:
        verbs.compile_text(call.front.world, body.text)
        faults = []
    except PolicyInvalid as error:
        faults = [PolicyFault(one["path"], one["message"]) for one in error.faults]
    await call.show(CheckView(version_of(body.text), faults))


async def compare_policies(call: Call, body: PolicyText) -> None:
    await call.show(comparison_view(await verbs.compare(call.front.world, tenant_of(call), body.text)))


async def explain_policies(call: Call, body: ExplainRequest) -> None:
    world = call.front.world
    tools = {tool.name: tool for tool in verbs.known_tools(world)}
    tool = tools.get(body.tool, Tool(body.tool))
    request = PolicyRequest(
        tenant=tenant_of(call),
        agent=body.agent,
        release=body.release,
        tool=body.tool,
        risk=body.risk or tool.risk,
        arguments=msgspec.json.encode(body.arguments),
        on_behalf_of=body.on_behalf_of,
        subject=body.subject,
        session=body.session,
        labels=tuple(sorted(body.labels)),
        approved=body.approved,
        at=world.clock.now(),
    )
    if body.text is not None:
        compiled = verbs.compile_text(world, body.text)
    else:
        active = world.policies.get(tenant_of(call))
        if active is None:
            raise PolicyNotFound()
        compiled = active.compiled
    await call.show(ruling_view(verbs.ruling_under(compiled, request)))


async def activate_policies(call: Call, body: PolicyRequestBody) -> None:
    stored, found = await verbs.activate(call.front.world, call.principal, body.text, body.mode, signed=body.signed)
    await call.show({"active": policy_view(stored), "comparison": comparison_view(found)})


async def deactivate_policies(call: Call) -> None:
    await verbs.deactivate(call.front.world, call.principal)
    await call.answer_empty(204)


def policy_view(stored: StoredPolicies) -> PolicyView:
    return PolicyView(
        version=stored.version,
        text=stored.text,
        mode=stored.mode,
        activated_at=stamp(stored.activated_at),
        activated_by=stored.activated_by,
        signed_by=stored.signed_by,
    )


def comparison_view(found: Comparison) -> ComparisonView:
    examples = [
        ComparedView(one.run, one.step, one.tool, one.difference, ruling_view(one.before), ruling_view(one.after))
        for one in found.examples
    ]
    return ComparisonView(
        found.version, found.actions, found.same, found.newly_denied, found.newly_asked, found.newly_allowed, examples
    )
