"""Policies in Cedar, by way of `cedarpy`: one small door, so that what is odd about it is known in one place.

- A policy that errors is skipped by Cedar: a broken `forbid` would allow. Here any error of an evaluation is an error.
- Policies are checked against the schema of the tools when they are compiled, and requests when they are evaluated; an
  argument that the schema cannot express is left out of both, so a policy cannot speak of it by accident.
- Text, schema and entities are parsed once; then a decision takes some 0.1 ms, nearly all of it the way into the
  library and back. So an action is asked about once, also where policies yield to what people approve: both questions
  go in one call.
- Policies are known by `@id`; what has none is named by its place.
- It is imported with the first policy: a node without any need not hold it in memory.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pilothouse.domain.policy import (
    ANNOTATIONS,
    HAND_OFF,
    HAND_OFF_MARK,
    INNER_MARK,
    Evaluation,
    PolicyRequest,
    Tool,
    ask_of,
    inner_hand_off_name,
)
from pilothouse.errors import PolicyInvalid
from pilothouse.ports.policy import CompiledPolicies, PolicyLanguage

TEXT_LIMIT = 1024 * 1024
ANY_TOOL = "any_tool"
"""The action of a tool that no host has described: its arguments are not typed, so policies see its name only."""
ANY_HAND_OFF = inner_hand_off_name("any_agent")
"""The action of handing over to an agent that was not known when the host told of its tools."""

DEPTH = 6
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STRING: dict[str, Any] = {"type": "String"}
LONG = 2**63


class CedarLanguage(PolicyLanguage):
    def compile(self, text: str, tools: Sequence[Tool], agents: Sequence[str]) -> CompiledPolicies:
        return CedarPolicies(text, tools, agents)

    def schema_of(self, tools: Sequence[Tool], agents: Sequence[str]) -> bytes:
        return json.dumps(make_schema(tools)).encode()


class CedarPolicies(CompiledPolicies):
    def __init__(self, text: str, tools: Sequence[Tool], agents: Sequence[str]) -> None:
        import cedarpy

        if len(text.encode()) > TEXT_LIMIT:
            raise PolicyInvalid(faults=[_fault("policies", f"they are larger than {TEXT_LIMIT} bytes")])
        schema = make_schema(tools)
        self._shapes = {tool.name: shape_of(_decoded(tool.schema)) for tool in tools}
        self._schema = cedarpy.Schema.from_json_str(json.dumps(schema))
        try:
            self._policies = cedarpy.PolicySet.from_str(text)
            parsed = json.loads(cedarpy.policies_to_json_str(text))
        except ValueError as error:
            raise PolicyInvalid(faults=[_fault("policies", str(error))]) from None
        found = {name: one.get("annotations", {}) for name, one in parsed["staticPolicies"].items()}
        self._names = {name: str(marks.get("id") or name) for name, marks in found.items()}
        faults = [_fault("policies", "templates cannot be used here")] if parsed.get("templates") else []
        faults += self._check_annotations(found)
        checked = cedarpy.validate_policies(text, schema)
        if not checked.validation_passed:
            faults += [_fault(self._names.get(one.policy_id, "policies"), one.error) for one in checked.errors]
        if faults:
            raise PolicyInvalid(faults=faults)
        self._yields = "approved" in text
        """Whether a policy may look at what people approved; a comment that says so costs a question too many."""
        self._annotations = {self._names[name]: dict(marks) for name, marks in found.items()}
        self._entities = cedarpy.Entities.from_json_str(json.dumps(_entities(tools, agents)), self._schema)

    def _check_annotations(self, found: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
        faults = []
        ids = list(self._names.values())
        for name, marks in found.items():
            shown = self._names[name]
            if ids.count(shown) > 1:
                faults.append(_fault(shown, "another policy has the same @id"))
            unknown = sorted(marks.keys() - ANNOTATIONS)
            faults += [_fault(shown, f"@{mark} is no annotation that is known here") for mark in unknown]
            if "review" not in marks and marks.keys() & {"quorum", "within", "escalate"}:
                faults.append(_fault(shown, "@quorum, @within and @escalate belong to @review"))
            try:
                ask_of(marks)
            except ValueError as error:
                faults.append(_fault(shown, str(error)))
        return faults

    @property
    def annotations(self) -> Mapping[str, Mapping[str, str]]:
        return self._annotations

    def evaluate(self, request: PolicyRequest) -> tuple[Evaluation, Evaluation]:
        import cedarpy

        try:
            asked = self._requests(request)
            answers = cedarpy.is_authorized_batch(asked, self._policies, self._entities, self._schema)
            found = [self._read(one) for one in answers]
            return found[0], found[-1]
        except Exception as error:  # whatever it is: an action that cannot be judged is not allowed
            wrong = Evaluation(False, (), (f"{type(error).__name__}: {error}"[:500],))
            return wrong, wrong

    def _read(self, answer: Any) -> Evaluation:
        import cedarpy

        errors = tuple(str(one) for one in answer.diagnostics.errors)
        policies = tuple(self._names.get(one, one) for one in answer.diagnostics.reasons)
        if answer.decision is cedarpy.Decision.NoDecision and not errors:
            errors = ("no decision was made",)
        return Evaluation(answer.decision is cedarpy.Decision.Allow and not errors, policies, errors)

    def _requests(self, request: PolicyRequest) -> list[dict[str, Any]]:
        """As it is, and, where policies may look at that, as if people had approved it."""
        shape = self._shapes.get(request.tool)
        at = EPOCH + timedelta(microseconds=request.at)
        context: dict[str, Any] = {
            "agent": request.agent,
            "release": request.release,
            "tenant": request.tenant,
            "tool": request.tool,
            "risk": request.risk,
            "on_behalf_of": request.on_behalf_of,
            "via": list(request.via),
            "roles": list(request.roles),
            "labels": list(request.labels),
            "approved": request.approved,
            "hour": at.hour,
            "weekday": at.isoweekday(),
        }
        optional = {"subject": request.subject, "session": request.session}
        context |= {name: value for name, value in optional.items() if value is not None}
        if shape is not None:
            context["arguments"] = fitted(msgspec.json.decode(request.arguments), shape)
        unknown = ANY_HAND_OFF if request.tool.startswith(INNER_MARK) else ANY_TOOL
        action = request.tool if shape is not None else unknown
        asked = {
            "principal": {"type": "Agent", "id": request.agent},
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Tool", "id": request.tool},
        }
        both = self._yields and not request.approved
        contexts = (context, context | {"approved": True}) if both else (context,)
        return [asked | {"context": msgspec.json.encode(one).decode()} for one in contexts]


def _fault(path: str, message: str) -> dict[str, str]:
    return {"path": path, "message": message}


def _decoded(schema: bytes) -> dict[str, Any]:
    found = msgspec.json.decode(schema)
    return found if isinstance(found, dict) else {}


def _entities(tools: Sequence[Tool], agents: Sequence[str]) -> list[dict[str, Any]]:
    return [
        *({"uid": {"type": "Agent", "id": name}, "attrs": {}, "parents": []} for name in agents),
        *({"uid": {"type": "Tool", "id": one.name}, "attrs": {"risk": one.risk}, "parents": []} for one in tools),
    ]


# --- the schema -------------------------------------------------------------------------------------------------------


def make_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """What policies can speak about: agents, tools with their risk, and for each tool an action with its arguments."""
    actions = {tool.name: _action(shape_of(_decoded(tool.schema))) for tool in tools}
    actions[ANY_TOOL] = _action(None)
    actions[ANY_HAND_OFF] = _action(None)
    for name, action in actions.items():
        if name.startswith((HAND_OFF_MARK, INNER_MARK)):
            action["memberOf"] = [{"id": HAND_OFF}]
    actions[HAND_OFF] = {}
    return {
        "": {
            "entityTypes": {
                "Agent": {},
                "Tool": {"shape": _record({"risk": {"type": "String", "required": False}})},
            },
            "actions": actions,
        }
    }


def _action(arguments: dict[str, Any] | None) -> dict[str, Any]:
    attributes: dict[str, Any] = dict.fromkeys(("agent", "release", "tenant", "tool", "risk", "on_behalf_of"), STRING)
    attributes |= {
        "labels": {"type": "Set", "element": STRING},
        "via": {"type": "Set", "element": STRING},
        "roles": {"type": "Set", "element": STRING},
        "approved": {"type": "Boolean"},
        "hour": {"type": "Long"},
        "weekday": {"type": "Long"},
        "subject": {"type": "String", "required": False},
        "session": {"type": "String", "required": False},
    }
    if arguments is not None:
        attributes["arguments"] = arguments
    return {"appliesTo": {"principalTypes": ["Agent"], "resourceTypes": ["Tool"], "context": _record(attributes)}}


def _record(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Record", "attributes": attributes}


def shape_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a tool as a Cedar record. What has a default is optional: a policy looks whether it is there."""
    found = _shape(schema, schema.get("$defs", {}), DEPTH)
    return found if found is not None and found["type"] == "Record" else _record({})


def _shape(schema: Any, defs: Mapping[str, Any], depth: int) -> dict[str, Any] | None:
    """None: what Cedar has no type for."""
    if not isinstance(schema, dict) or depth == 0:
        return None
    if "$ref" in schema:
        return _shape(defs.get(str(schema["$ref"]).rpartition("/")[2]), defs, depth - 1)
    if "anyOf" in schema:
        rest = [one for one in schema["anyOf"] if one != {"type": "null"}]
        return _shape(rest[0], defs, depth) if len(rest) == 1 else None
    if "enum" in schema and all(isinstance(one, str) for one in schema["enum"]):
        return dict(STRING)
    match schema.get("type"):
        case "string":
            return dict(STRING)
        case "integer":
            return {"type": "Long"}
        case "boolean":
            return {"type": "Boolean"}
        case "number":
            return {"type": "Extension", "name": "decimal"}
        case "array":
            element = _shape(schema.get("items"), defs, depth - 1)
            return None if element is None else {"type": "Set", "element": element}
        case "object":
            found = {name: _shape(one, defs, depth - 1) for name, one in schema.get("properties", {}).items()}
            needed = {name for name in schema.get("required", ()) if not _may_be_null(schema["properties"].get(name))}
            return _record({
                name: one | {"required": name in needed} for name, one in found.items() if one is not None
            })  # fmt: skip
    return None


def _may_be_null(schema: Any) -> bool:
    return not isinstance(schema, dict) or {"type": "null"} in schema.get("anyOf", ())


def fitted(value: Any, shape: Mapping[str, Any]) -> Any:
    """The value as Cedar reads it, with what the shape does not have left out. Raises ValueError for what does not fit:
    an argument of another type than its schema says is no action that can be judged."""
    match shape["type"], value:
        case "Record", dict():
            attributes = shape["attributes"]
            return {
                name: fitted(one, attributes[name])
                for name, one in value.items()
                if name in attributes and one is not None
            }
        case "Set", list():
            return [fitted(one, shape["element"]) for one in value]
        case "String", str():
            return value
        case "Boolean", bool():
            return value
        case "Long", int() if not isinstance(value, bool) and -LONG <= value < LONG:
            return value
        case "Extension", int() | float() if not isinstance(value, bool):
            return {"__extn": {"fn": "decimal", "arg": f"{value:.4f}"}}
    raise ValueError(f"an argument is {type(value).__name__}, where the schema of the tool has {shape['type']}")
