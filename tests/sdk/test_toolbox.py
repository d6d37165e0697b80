"""What is said of a tool, by whom, and whose word weighs more; and the options that are passed on to a framework."""

from dataclasses import dataclass

import msgspec
import pytest

from pilothouse import tool
from pilothouse.compute.options import AgentOptions, WorkerOptions
from pilothouse.domain.policy import Tool
from pilothouse.errors import TargetInvalid
from pilothouse.sdk.agent import TOOLS
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.target import from_object
from pilothouse.sdk.toolbox import describe_tools, known_tools, tool_of
from pilothouse.wire.host import AgentTarget, ToolWords

SCHEMA = {"type": "object", "properties": {"cents": {"type": "integer"}}}


@pytest.fixture
def pay():
    @tool(name="pay_out", risk="irreversible", labels=("sensitive",))
    def pay_out(cents: int) -> None: ...

    yield pay_out
    del TOOLS["pay_out"]


def test_a_tool_of_a_framework_that_says_nothing_is_reversible():
    assert tool_of("find", SCHEMA) == Tool("find", "reversible", False, msgspec.json.encode(SCHEMA))


def test_metadata_says_more_than_the_decorator_and_settings_more_than_both(pay):
    assert tool_of("pay_out", SCHEMA).risk == "irreversible"
    found = tool_of("pay_out", SCHEMA, {"risk": "consequential", "labels": "retrieved", "once": True})
    assert (found.risk, found.labels, found.once) == ("consequential", ("retrieved",), True)
    known = known_tools({"pay_out": found}, {"pay_out": ToolWords(risk="read")})
    assert (known["pay_out"].risk, known["pay_out"].labels) == ("read", ("retrieved",))
    assert known["pay_out"].schema == msgspec.json.encode(SCHEMA)


def test_settings_know_tools_that_nobody_finds_before_they_are_called(pay):
    known = known_tools({}, {"from_a_server": ToolWords(risk="irreversible"), "pay_out": ToolWords(once=True)})
    assert known["from_a_server"] == Tool("from_a_server", "irreversible")
    assert (known["pay_out"].risk, known["pay_out"].once) == ("irreversible", True)
    assert known_tools({}, {"pay_out": ToolWords(needs=("clerk",))})["pay_out"].needs == ("clerk",)
    described = {one["name"] for one in msgspec.json.decode(describe_tools(known))}
    assert {"from_a_server", "pay_out"} <= described


def test_a_risk_that_is_none_is_told_when_the_agent_is_loaded():
    with pytest.raises(ValueError, match="the risk of the tool 'find' is 'huge'; it is one of read"):
        tool_of("find", SCHEMA, {"risk": "huge"})


def test_what_a_schema_holds_that_is_no_json_leaves_the_arguments_undescribed():
    assert tool_of("find", {"default": object()}).schema == b"{}"
    assert tool_of("find", None).schema == b"{}"


@dataclass
class Config:
    name: str = "mine"


mine = Config()


def test_options_are_taken_one_by_one_and_nothing_may_be_left():
    options = Options({"turns": 3, "table": {"a": 1}, "config": f"{__name__}:mine"})
    assert options.number("turns") == 3
    assert options.number("other") is None
    assert options.table("table") == {"a": 1}
    assert options.found("config", Config) is mine
    options.all_taken("Frame")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"turns": 0}, "options.turns is 0; it is a whole number from 1"),
        ({"turns": True}, "options.turns is True"),
        ({"config": "nowhere:mine"}, "options.config names 'nowhere:mine', which is not there"),
        ({"config": "mine"}, "it is not of the form module:object"),
        ({"config": f"{__name__}:SCHEMA"}, "a dict; it is a Config"),
        ({"turn": 3}, "Frame has no options.turn; it takes turns, config"),
    ],
)
def test_a_wrong_option_is_told_with_what_would_work(given, told):
    options = Options(given)
    with pytest.raises(ValueError) as caught:
        options.number("turns")
        options.found("config", Config)
        options.all_taken("Frame")
    assert told in str(caught.value)


def test_a_function_takes_no_options():
    with pytest.raises(TargetInvalid, match=r"a function has no options\.max_turns; it takes none"):
        from_object("desk", AgentTarget(target="desk:f", options={"max_turns": 3}), lambda: None)


def test_a_host_has_the_longest_time_that_its_agents_need_to_load():
    slow, quick = AgentOptions("a:b", loads_within=300.0), AgentOptions("a:b", loads_within=5.0)
    options = WorkerOptions("/nowhere", {"slow": slow, "quick": quick, "any": AgentOptions("a:b")})
    assert options.time_to_load(["slow", "any"]) == 300.0
    assert options.time_to_load(["quick"]) == 5.0
    assert options.time_to_load(["quick", "any"]) == 60.0
