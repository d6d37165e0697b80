"""`pilothouse alerts` and `pilothouse dashboards`: what fires on a node, and files for Prometheus and Grafana.

`list` asks a node. `export` makes files of the objectives in pilothouse.toml and needs no node.
"""

import os
from pathlib import Path

import click

from pilothouse.cli.connect import DefaultGroup, connect, json_option, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.failure import FilesExist
from pilothouse.cli.show import show_json, show_table, since
from pilothouse.settings import load_settings

into = click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path(),
                    help="The folder to write to. [default: here]")  # fmt: skip
force = click.option("--force", is_flag=True, help="Overwrite files that are there.")


@click.group(cls=DefaultGroup, short_help="Show which objectives are missed, or export rules.")
def alerts() -> None:
    """Show which objectives are missed, or export rules. Without a command: list.

    \b
    Example:
      pilothouse alerts
      pilothouse alerts export --into deploy/prometheus
    """


@alerts.command("list", short_help="What fires on a node.")
@node_options
def list_alerts(url: str | None, is_json: bool) -> int:
    """What fires, of all nodes: objectives of agents that are missed faster than their budget allows.

    \b
    Example: pilothouse alerts list --json
    """
    with connect(url) as client:
        page = client.list_alerts()
    if is_json:
        show_json(page)
    elif not page.items:
        click.echo("Nothing fires.", err=True)
    else:
        rows = [(one.severity, one.agent, since(one.since), one.summary) for one in page.items]
        show_table(("SEVERITY", "AGENT", "SINCE", "WHAT"), rows, flexible="WHAT")
    return Exit.DONE


@alerts.command("export", short_help="Write rules for Prometheus and a start for Alertmanager.")
@click.option("--config", metavar="FILE", help="Another settings file. [default: pilothouse.toml]")
@click.option("--webhook", metavar="URL", default="http://127.0.0.1:9099/alerts", show_default=True,
              help="Where Alertmanager is to tell of alerts.")  # fmt: skip
@click.option("--runbooks", metavar="URL", default="docs/howto/runbooks.md", show_default=True,
              help="Where you serve that page: each alert links to its section.")  # fmt: skip
@into
@force
@json_option
def export_alerts(config: str | None, webhook: str, runbooks: str, into: Path, force: bool, is_json: bool) -> int:
    """Write rules for Prometheus and a start for Alertmanager, made of the objectives in pilothouse.toml.

    \b
    Example: pilothouse alerts export --into deploy/prometheus
    """
    from pilothouse.observability.export import alert_files

    settings = load_settings(os.environ, folder=Path.cwd(), config=config)
    objectives = {name: one.objectives for name, one in settings.agents.items() if one.objectives is not None}
    return _write(into, alert_files(objectives, webhook, runbooks), force, is_json)


@click.group(short_help="Export dashboards for Grafana.")
def dashboards() -> None:
    """Export dashboards for Grafana.

    \b
    Example: pilothouse dashboards export --into deploy/grafana
    """


@dashboards.command("export", short_help="Write the dashboards as Grafana's JSON.")
@into
@force
@json_option
def export_dashboards(into: Path, force: bool, is_json: bool) -> int:
    """Write the dashboards as Grafana's JSON, for import or provisioning.

    \b
    Example: pilothouse dashboards export --into deploy/grafana
    """
    from pilothouse.observability.export import dashboard_files

    return _write(into, dashboard_files(), force, is_json)


def _write(folder: Path, files: dict[str, str], force: bool, is_json: bool) -> int:
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise FilesExist(
            folder=str(folder), names=", ".join(there), hint="Use --force to overwrite, or another --into."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    written = [str(folder / name) for name in files]
    if is_json:
        show_json({"written": written})
    else:
        for name in written:
            click.echo(name)
    return Exit.DONE
