"""`pilothouse policy`: what agents may do, checked, tried, compared with what happened, and only then active.

The node knows the tools and what happened lately, so it does the work; files are read and results shown here.
"""

import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec

from pilothouse.cli.connect import DefaultGroup, JsonParam, connect, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, show_fields, show_json, show_table
from pilothouse.client.shape import Comparison, Ruling
from pilothouse.domain.label import RULE_OF_TWO

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
COUNTS = ("same", "newly_denied", "newly_asked", "newly_allowed")


@click.group(cls=DefaultGroup, short_help="Say what agents may do.")
def policy() -> None:
    """Say what agents may do, in Cedar. Without a command: show what is active.

    \b
    Example:
      pilothouse policy check refunds.cedar
      pilothouse policy diff refunds.cedar
      pilothouse policy activate refunds.cedar
    """


policy.default = "show"


@policy.command("show", short_help="The policies that are active.")
@node_options
def show(url: str | None, is_json: bool) -> int:
    """The policies that are active, and who made them so.

    \b
    Example: pilothouse policy show
    """
    with connect(url) as client:
        active = client.get_policies().active
    if is_json:
        show_json(active)
    elif active is None:
        click.echo("No policies are active: nothing is asked.", err=True)
    else:
        show_fields([("version", active.version), ("mode", active.mode), ("activated", active.activated_at),
                     ("by", active.activated_by), ("signed by", active.signed_by)])  # fmt: skip
        click.echo(f"\n{active.text.rstrip()}")
    return Exit.DONE


@policy.command("schema", short_help="What policies can speak about.")
@click.option("--url", metavar="URL", help="Address of the node. [default: as the settings say]")
def schema(url: str | None) -> int:
    """What policies can speak about, as a Cedar schema in JSON: made from the tools of this node.

    \b
    Example: pilothouse policy schema > tools.cedarschema.json
    """
    with connect(url) as client:
        show_json(client.get_policy_schema())
    return Exit.DONE


@policy.command("check", short_help="Check policies against the tools.")
@click.argument("file", type=FILE)
@node_options
def check(file: Path, url: str | None, is_json: bool) -> int:
    """Check the policies in FILE against the tools of the node. Exits with 0 only when nothing is wrong.

    \b
    Example: pilothouse policy check refunds.cedar
    """
    with connect(url) as client:
        found = client.check_policies(file.read_text(encoding="utf-8"))
    if is_json:
        show_json(found)
    else:
        for fault in found.faults:
            click.echo(f"{fault.path}: {on_one_line(fault.message)}", err=True)
        if not found.faults:
            click.echo(f"Nothing is wrong with them (version {found.version}).")
    return Exit.FAILED if found.faults else Exit.DONE


@policy.command("explain", short_help="How an action would be ruled on.")
@click.argument("tool")
@click.option("--arguments", type=JsonParam(dict), default="{}", help="The arguments of the call.")
@click.option("--agent", default="agent", metavar="NAME", help="Who calls it.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="What the run has seen; more than once.")
@click.option("--approved", is_flag=True, help="As if people had approved it.")
@click.option("--policies", type=FILE, metavar="FILE", help="These policies. [default: the active ones]")
@node_options
def explain(
    tool: str, arguments: Any, agent: str, labels: tuple[str, ...], approved: bool, policies: Path | None,
    url: str | None, is_json: bool,
) -> int:  # fmt: skip
    """How a call of TOOL would be ruled on, and which policies decide it.

    \b
    Example: pilothouse policy explain refund --arguments '{"order": "a", "cents": 900}'
    """
    action: dict[str, Any] = {"tool": tool, "arguments": arguments, "agent": agent, "labels": list(labels)}
    action["approved"] = approved
    text = None if policies is None else policies.read_text(encoding="utf-8")
    with connect(url) as client:
        found = client.explain_policies(action, text)
    if is_json:
        show_json(found)
    else:
        show_fields([("verdict", found.verdict), ("policies", " ".join(found.policies) or "none"),
                     ("reason", found.reason or None), ("asks", _asks(found))])  # fmt: skip
    return Exit.DONE


def _asks(found: Ruling) -> str | None:
    if found.ask is None:
        return None
    within = "" if found.ask.within_seconds is None else f" within {found.ask.within_seconds:g} s"
    return f"{found.ask.quorum} with the role {found.ask.role or '(any)'}{within}"


@policy.command("test", short_help="Try policies on cases with an expected ruling.")
@click.argument("file", type=FILE)
@click.argument("cases", type=FILE)
@node_options
def test(file: Path, cases: Path, url: str | None, is_json: bool) -> int:
    """Try the policies in FILE on the CASES of a TOML or JSON file: each has `tool`, `arguments` and `expect` (allow,
    deny or ask), and may have `agent`, `labels` and `approved`. Exits with 0 only when all are ruled as expected.

    \b
    Example: pilothouse policy test refunds.cedar refunds.cases.toml
    """
    text = file.read_text(encoding="utf-8")
    wanted = _read_cases(cases)
    rows = []
    with connect(url) as client:
        for number, case in enumerate(wanted, 1):
            expect = case.pop("expect")
            name = str(case.pop("name", f"case {number}"))
            found = client.explain_policies(case, text)
            rows.append((name, expect, found.verdict, "ok" if expect == found.verdict else "NOT OK",
                         " ".join(found.policies)))  # fmt: skip
    wrong = sum(row[3] != "ok" for row in rows)
    if is_json:
        show_json({"cases": len(rows), "wrong": wrong})
    else:
        show_table(("CASE", "EXPECTED", "RULED", "", "POLICIES"), rows, flexible="POLICIES")
        click.echo(f"{len(rows) - wrong} of {len(rows)} cases are ruled as expected.", err=True)
    return Exit.FAILED if wrong else Exit.DONE


def _read_cases(file: Path) -> list[dict[str, Any]]:
    raw = file.read_bytes()
    try:
        found = tomllib.loads(raw.decode()) if file.suffix == ".toml" else msgspec.json.decode(raw)
        cases = found["cases"] if isinstance(found, dict) else found
        if not cases or not all(one["tool"] and one["expect"] in ("allow", "deny", "ask") for one in cases):
            raise ValueError("each case needs a tool, and expect = allow, deny or ask")
    except (ValueError, KeyError, TypeError) as error:
        raise click.BadParameter(f"{file.name} holds no cases: {error}", param_hint="CASES") from None
    return list(cases)


@policy.command("shipped", short_help="Print the policies that come with Pilothouse.")
def shipped() -> int:
    """Print the policies that come with Pilothouse, to be put beside your own: the rule of two.

    \b
    Example: pilothouse policy shipped >> policies.cedar
    """
    click.echo(RULE_OF_TWO.rstrip())
    return Exit.DONE


@policy.command("diff", short_help="What would change for recent actions.")
@click.argument("file", type=FILE)
@node_options
def diff(file: Path, url: str | None, is_json: bool) -> int:
    """What the policies in FILE would have made of recent actions, compared with the active ones.

    \b
    Example: pilothouse policy diff refunds.cedar
    """
    with connect(url) as client:
        found = client.compare_policies(file.read_text(encoding="utf-8"))
    if is_json:
        show_json(found)
    else:
        _show_comparison(found)
    return Exit.DONE


def _show_comparison(found: Comparison) -> None:
    counts = [(name.replace("_", " "), str(getattr(found, name))) for name in COUNTS]
    show_fields([("version", found.version), ("actions", str(found.actions)), *counts])
    if found.examples:
        click.echo()
        rows = [
            (one.difference.replace("_", " "), one.before.verdict, one.after.verdict, one.tool, one.run)
            for one in found.examples
        ]
        show_table(("DIFFERENCE", "BEFORE", "AFTER", "TOOL", "RUN"), rows, flexible="TOOL")


@policy.command("activate", short_help="Make policies the active ones.")
@click.argument("file", type=FILE)
@click.option("--log", "is_log", is_flag=True, help="They rule, and nothing obeys: to see what they would do.")
@click.option("--sign", is_flag=True, help="You take upon yourself what is newly allowed.")
@node_options
def activate(file: Path, is_log: bool, sign: bool, url: str | None, is_json: bool) -> int:
    """Make the policies in FILE the active ones, after a replay of recent actions. What would be newly allowed needs
    the signature of a person.

    \b
    Example: pilothouse policy activate refunds.cedar --sign
    """
    with connect(url) as client:
        done = client.activate_policies(file.read_text(encoding="utf-8"), mode="log" if is_log else "enforce",
                                        signed=sign)  # fmt: skip
    if is_json:
        show_json(done)
    else:
        _show_comparison(done.comparison)
        click.echo(f"Version {done.active.version} is active ({done.active.mode}).")
    return Exit.DONE


@policy.command("off", short_help="Have no policies any more.")
@node_options
def off(url: str | None, is_json: bool) -> int:
    """Have no policies any more: everything is allowed again. Only a person may do that.

    \b
    Example: pilothouse policy off
    """
    with connect(url) as client:
        client.deactivate_policies()
    if is_json:
        show_json({"active": None})
    else:
        click.echo("No policies are active.")
    return Exit.DONE
