"""Policies from the first draft to the active ones on the command line: checked, tried, compared, signed, off again."""

import json

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import CommandLine, serve

pytestmark = pytest.mark.slow

AGENTS = """
from pilothouse import Context, agent, tool
from pilothouse.errors import ActionDenied


@tool(risk="irreversible")
async def refund(order: str, cents: int) -> str:
    return f"{cents} for {order}"


@agent(mode="event")
async def desk(ctx: Context, cents: int) -> str:
    try:
        return await ctx.call_tool(refund, order="a", cents=cents)
    except ActionDenied as denied:
        return f"denied: {denied.text}"
"""
SETTINGS = """[server]
port = 0
grace_seconds = 0.5
[worker]
cancel_grace_seconds = 0.5
[agents.desk]
target = "desk:desk"
"""
SMALL = """@id("small") permit (principal, action == Action::"refund", resource)
when { context.arguments.cents <= 100 };
"""
ASKED = """@id("large") @review("finance") @quorum("2") @within("4h")
permit (principal, action == Action::"refund", resource)
when { context.arguments.cents > 100 && context.arguments.cents <= 1000 };
"""
CASES = """
[[cases]]
name = "small"
tool = "refund"
arguments = {order = "a", cents = 50}
expect = "allow"
[[cases]]
tool = "refund"
arguments = {order = "a", cents = 500}
expect = "ask"
[[cases]]
tool = "refund"
arguments = {order = "a", cents = 5000}
expect = "deny"
"""


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    for name, text in {
        "desk.py": AGENTS, "pilothouse.toml": SETTINGS, "small.cedar": SMALL, "both.cedar": SMALL + ASKED,
        "all.cedar": 'permit (principal, action == Action::"refund", resource);',
        "wrong.cedar": 'permit (principal, action == Action::"refnd", resource);', "cases.toml": CASES,
        "none.toml": "[[cases]]\ntool = 'refund'\n",
    }.items():  # fmt: skip
        (folder / name).write_text(text, encoding="utf-8")
    with serve(folder) as url:
        yield CommandLine(folder, url)


def test_a_draft_is_checked_against_the_tools_and_tried_on_cases_before_anything_is_active(cli):
    assert "No policies are active" in cli("policy").stderr
    assert "refund" in json.dumps(json.loads(cli("policy", "schema").stdout))
    assert cli("policy", "check", "both.cedar").stdout.startswith("Nothing is wrong")
    wrong = cli("policy", "check", "wrong.cedar")
    assert (wrong.exit_code, "refnd" in wrong.stderr) == (Exit.FAILED, True)
    tried = cli("policy", "test", "both.cedar", "cases.toml")
    assert (tried.exit_code, "3 of 3 cases" in tried.stderr) == (Exit.DONE, True)
    tried = cli("policy", "test", "small.cedar", "cases.toml")
    assert (tried.exit_code, "2 of 3 cases" in tried.stderr) == (Exit.FAILED, True)
    assert cli("policy", "test", "small.cedar", "none.toml").exit_code == Exit.USAGE
    assert "sensitive" in cli("policy", "shipped").stdout
    given = ("refund", "--arguments", '{"order": "a", "cents": 500}', "--policies", "both.cedar")
    explained = cli("policy", "explain", *given).stdout
    assert "ask" in explained
    assert "2 with the role finance within 14400 s" in explained
    assert cli.json("policy", "show") is None


def test_what_changes_for_recent_actions_is_shown_and_what_is_newly_allowed_takes_a_signature(cli):
    assert cli("policy", "activate", "small.cedar", "--sign").exit_code == Exit.DONE
    assert cli.json("run", "desk", "50")["output"] == "50 for a"
    assert cli.json("run", "desk", "500")["output"].startswith("denied")
    counts = [(one["actions"], one["same"], one["newly_asked"], one["newly_allowed"])
              for one in (cli.json("policy", "diff", name) for name in ("both.cedar", "all.cedar"))]  # fmt: skip
    assert counts == [(2, 1, 1, 0), (2, 1, 0, 1)]
    assert "newly asked" in cli("policy", "diff", "both.cedar").stdout
    refused = cli("policy", "activate", "all.cedar")
    assert (refused.exit_code, "newly allowed" in refused.stderr) == (Exit.CONFLICT, True)
    assert cli.json("policy", "show")["text"] == SMALL
    assert "is active (enforce)" in cli("policy", "activate", "both.cedar").stdout
    assert "is active (log)" in cli("policy", "activate", "all.cedar", "--log", "--sign").stdout
    assert cli("policy", "off").stdout == "No policies are active.\n"
    assert cli.json("run", "desk", "5000")["output"] == "5000 for a"
    kinds = [one["kind"] for one in cli.json("audit", "list", "--limit", "200")["items"]]
    assert (kinds.count("policy.activated"), kinds.count("policy.retired")) == (3, 1)
