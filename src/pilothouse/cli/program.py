"""The program `pilothouse`: finds the command, runs it, and turns whatever goes wrong into words and an exit code.

A command's module is imported when the command is used, so that `pilothouse --help` and a misspelt name are answered
at once. Nothing below this file catches an error to print it.
"""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from pilothouse.cli.exits import Exit
from pilothouse.cli.failure import show_failure, show_fault

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("pilothouse.cli.init:init", "Make a project that runs, with a passing test."),
    "dev": ("pilothouse.cli.dev:dev", "Run agents here, and again on every change."),
    "serve": ("pilothouse.cli.serve:serve", "Run agents for other people."),
    "run": ("pilothouse.cli.run:run", "Start a run and show what it says."),
    "agents": ("pilothouse.cli.agents:agents", "Show which agents a node has."),
    "runs": ("pilothouse.cli.runs:runs", "Look at runs, cancel, retry or signal them."),
    "sessions": ("pilothouse.cli.sessions:sessions", "Look at what sessions remember, fork or delete them."),
    "subjects": ("pilothouse.cli.subjects:subjects", "Erase what was kept of a person."),
    "reviews": ("pilothouse.cli.reviews:reviews", "Answer what runs ask of people."),
    "override": ("pilothouse.cli.override:override", "Supersede what came out or was decided."),
    "sampling": ("pilothouse.cli.sampling:sampling", "Choose runs for people to look at."),
    "bias": ("pilothouse.cli.bias:bias", "Audit whether groups of people are treated alike."),
    "feedback": ("pilothouse.cli.datasets:feedback", "Say what you think of a run."),
    "datasets": ("pilothouse.cli.datasets:datasets", "Make versions of examples, and write them out."),
    "eval": ("pilothouse.cli.evaluate:evaluate", "Score releases, and compare them."),
    "environments": (
        "pilothouse.cli.environments:environments",
        "Make, list and prune what agents need installed.",
    ),
    "delegations": ("pilothouse.cli.delegations:delegations", "Let somebody vote in your name for a time."),
    "hold": ("pilothouse.cli.hold:hold", "Stop agents, tools or runs, and let them go on."),
    "policy": ("pilothouse.cli.policy:policy", "Say what agents may do."),
    "keys": ("pilothouse.cli.keys:keys", "Make, list, rotate and revoke API keys."),
    "audit": ("pilothouse.cli.audit:audit", "Read the audit log, export and verify it."),
    "top": ("pilothouse.cli.top:top", "How a node stands, agent by agent."),
    "scale": ("pilothouse.cli.scale:scale", "How many workers the work wants."),
    "plan": ("pilothouse.cli.plan:plan", "How many workers a load wants, and what they cost."),
    "costs": ("pilothouse.cli.costs:costs", "What model calls have cost, and what the month will come to."),
    "alerts": ("pilothouse.cli.alerts:alerts", "Show which objectives are missed, or export rules."),
    "dashboards": ("pilothouse.cli.alerts:dashboards", "Export dashboards for Grafana."),
    "sources": ("pilothouse.cli.sources:sources", "Look at what brings messages, replay dead letters."),
    "schedules": ("pilothouse.cli.schedules:schedules", "Start runs by the clock; pause them, or fire now."),
    "deliveries": ("pilothouse.cli.deliveries:deliveries", "Look at what goes out, and send it once more."),
    "settings": ("pilothouse.cli.settings:settings", "Print each setting with where it came from."),
    "bench": ("pilothouse.cli.bench:bench", "Load a node, and show what its callers would feel."),
    "doctor": ("pilothouse.cli.doctor:doctor", "Tell what is wrong here and what to do."),
    "migrate": ("pilothouse.cli.records:migrate", "Bring the records to the schema of this version."),
    "backup": ("pilothouse.cli.records:backup", "Copy the records to a file, also while a node runs."),
    "restore": ("pilothouse.cli.records:restore", "Put a backup in the place of the records."),
}
"""name -> (where it is, its short help): `--help` lists them without importing one."""


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], COMMANDS, n=1) if args and args[0] not in COMMANDS else []
        if near:
            ctx.fail(f"No such command '{args[0]}'. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])


def show_version(ctx: click.Context, param: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        click.echo(f"pilothouse {version('pilothouse')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=show_version,
              help="Print the version.")  # fmt: skip
def program() -> None:
    """Runs the AI agent you already have in production.

    \b
    Begin:     pilothouse init shop && cd shop && pilothouse dev
    Then:      pilothouse run echo "Hello"
    One more:  pilothouse COMMAND --help has an example each
    """


def run_program(arguments: Sequence[str]) -> int:
    """Runs one command; returns its exit code. Says on stderr what went wrong, as JSON when --json was asked for."""
    is_json = "--json" in arguments
    try:
        code = program.main(args=list(arguments), prog_name="pilothouse", standalone_mode=False)
        sys.stdout.flush()
        return int(code or Exit.DONE)
    except click.exceptions.Exit as left:
        return left.exit_code
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (BrokenPipeError, SystemExit):
        # Whoever read the output has enough; click has left because of it, or the last of the output could not go out.
        # What is still in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.DONE
    except Exception as error:
        known = show_failure(error, is_json)
        return known if known is not None else show_fault(error, is_json)


def main() -> NoReturn:
    sys.exit(run_program(sys.argv[1:]))
