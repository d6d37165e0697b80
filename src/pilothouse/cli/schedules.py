"""`pilothouse schedules`: what starts runs by the clock.

Schedules of pilothouse.toml belong to the file: they can be paused and fired here, and come back when they are deleted.
"""

from typing import Any

import click

from pilothouse.cli.connect import DefaultGroup, JsonParam, connect, node_options, page_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import show_fields, show_json, show_table, style_status
from pilothouse.client.shape import Schedule


@click.group(cls=DefaultGroup, short_help="Start runs by the clock; pause them, or fire now.")
def schedules() -> None:
    """Start runs by the clock; pause them, or fire now. Without a command: list.

    \b
    Example:
      pilothouse schedules
      pilothouse schedules add nightly report --cron "0 3 * * *" --zone Europe/Berlin
      pilothouse schedules run nightly
    """


def _rule(one: Schedule) -> str:
    if one.cron is not None:
        return one.cron if one.zone == "UTC" else f"{one.cron} ({one.zone})"
    return f"every {one.every_seconds:g} s" if one.every_seconds is not None else f"at {one.at}"


def _show(one: Schedule, is_json: bool) -> int:
    if is_json:
        show_json(one)
    else:
        fields = [("schedule", one.name), ("status", style_status(one.status)), ("rule", _rule(one))]
        show_fields([*fields, ("next", one.next_at)])
    return Exit.DONE


@schedules.command("list", short_help="All schedules, with their next firing.")
@page_options
@node_options
def list_schedules(limit: int, cursor: str | None, url: str | None, is_json: bool) -> int:
    """All schedules, with their next firing.

    \b
    Example: pilothouse schedules list
    """
    with connect(url) as client:
        page = client.list_schedules(limit=limit, cursor=cursor)
    if is_json:
        show_json(page)
        return Exit.DONE
    if not page.items:
        click.echo("There are no schedules.", err=True)
        return Exit.DONE
    rows = [(one.name, one.status, one.agent, _rule(one), one.next_at or "", one.problem or "") for one in page.items]
    show_table(("SCHEDULE", "STATUS", "AGENT", "RULE", "NEXT", "PROBLEM"), rows, flexible="PROBLEM")
    if page.next_cursor:
        click.echo(f"More:  --cursor {page.next_cursor}", err=True)
    return Exit.DONE


@schedules.command("show", short_help="One schedule, and its next ten firings.")
@click.argument("schedule")
@node_options
def show_schedule(schedule: str, url: str | None, is_json: bool) -> int:
    """One schedule, what became of its last firing, and when the next ten are.

    \b
    Example: pilothouse schedules show nightly
    """
    with connect(url) as client:
        found, firings = client.get_schedule(schedule), client.list_firings(schedule)
    if is_json:
        show_json({"schedule": found, "firings": firings.items})
        return Exit.DONE
    show_fields(
        [
            ("schedule", found.name),
            ("status", style_status(found.status)),
            ("agent", found.agent),
            ("rule", _rule(found)),
            ("misfire", found.misfire),
            ("overlap", found.overlap),
            ("last run", found.last_run),
            ("left out", str(found.left_out) if found.left_out else None),
            ("problem", found.problem),
        ]
    )
    click.echo("".join(f"\n  {at}" for at in firings.items))
    return Exit.DONE


@schedules.command("add", short_help="Make a schedule.")
@click.argument("name")
@click.argument("agent")
@click.option("--cron", metavar="RULE", help="Five fields, or six with the seconds first.")
@click.option("--every", type=float, metavar="SECONDS", help="Seconds between two firings.")
@click.option("--at", metavar="INSTANT", help="Once, as in 2026-12-24T18:00:00Z.")
@click.option("--zone", default="UTC", show_default=True, help="The time zone in which the cron rule is read.")
@click.option("--input", type=JsonParam(), help="The input of each run, as JSON.")
@click.option("--misfire", type=click.Choice(("skip", "once", "all")), default="once", show_default=True,
              help="What becomes of firings that nobody was there for.")  # fmt: skip
@click.option("--overlap", type=click.Choice(("skip", "queue", "replace", "allow")), default="skip", show_default=True,
              help="What happens while the run before still lives.")  # fmt: skip
@click.option("--jitter", type=float, default=0.0, metavar="SECONDS", help="By how much a firing may be moved.")
@node_options
def add(
    name: str, agent: str, cron: str | None, every: float | None, at: str | None, zone: str, input: Any, misfire: str,
    overlap: str, jitter: float, url: str | None, is_json: bool,
) -> int:  # fmt: skip
    """Make a schedule NAME that starts runs of AGENT: by --cron, --every or --at.

    \b
    Example: pilothouse schedules add nightly report --cron "0 3 * * *" --zone Europe/Berlin --input '"all"'
    """
    rule = {"cron": cron, "every_seconds": every, "at": at}
    if sum(one is not None for one in rule.values()) != 1:
        raise click.UsageError("Give one of --cron, --every and --at.")
    more = {"zone": zone, "input": input, "misfire": misfire, "overlap": overlap, "jitter_seconds": jitter}
    with connect(url) as client:
        return _show(client.make_schedule(name, agent, **rule, **more), is_json)


@schedules.command("pause", short_help="Let it fire no more until it is resumed.")
@click.argument("schedule")
@node_options
def pause(schedule: str, url: str | None, is_json: bool) -> int:
    """Let it fire no more until it is resumed.

    \b
    Example: pilothouse schedules pause nightly
    """
    with connect(url) as client:
        return _show(client.change_schedule(schedule, "pause"), is_json)


@schedules.command("resume", short_help="Let it fire again, from now on.")
@click.argument("schedule")
@node_options
def resume(schedule: str, url: str | None, is_json: bool) -> int:
    """Let it fire again, from now on: what passed meanwhile is not made up for.

    \b
    Example: pilothouse schedules resume nightly
    """
    with connect(url) as client:
        return _show(client.change_schedule(schedule, "resume"), is_json)


@schedules.command("run", short_help="Fire it now, beside its rule.")
@click.argument("schedule")
@node_options
def run_now(schedule: str, url: str | None, is_json: bool) -> int:
    """Fire it now, beside its rule, and print the run.

    \b
    Example: pilothouse schedules run nightly
    """
    with connect(url) as client:
        run = client.run_schedule(schedule)
    if is_json:
        show_json(run)
    else:
        click.echo(run.id)
        click.echo(f"Next:  pilothouse runs watch {run.id}", err=True)
    return Exit.DONE


@schedules.command("delete", short_help="Remove it; its runs go on.")
@click.argument("schedule")
@node_options
def delete(schedule: str, url: str | None, is_json: bool) -> int:
    """Remove it; its runs go on. One of pilothouse.toml comes back with the next start.

    \b
    Example: pilothouse schedules delete nightly
    """
    with connect(url) as client:
        client.delete_schedule(schedule)
    if is_json:
        show_json({"deleted": schedule})
    else:
        click.echo(f"{schedule} is gone.")
    return Exit.DONE
