"""`pilothouse feedback` and `pilothouse datasets`: what people said of runs, as examples, and versions made of them.

A version is written out as a draft that is then renamed, so that no training job reads half of it.
"""

import os
from pathlib import Path
from typing import Any, get_args

import click

from pilothouse.cli.connect import JsonParam, connect, node_options
from pilothouse.cli.dataset_export import FORMATS, lines
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, show_json, show_table
from pilothouse.domain.example import ExampleSource


@click.command(short_help="Say what you think of a run.")
@click.argument("run")
@click.option("--up/--down", "up", default=None, help="It was good, or it was not.")
@click.option("--rating", type=click.IntRange(1, 5), metavar="N", help="From 1 to 5.")
@click.option("--expected", type=JsonParam(), help="What the output should have been, as JSON.")
@click.option("--comment", default="", metavar="TEXT", help="In words.")
@node_options
def feedback(
    run: str, up: bool | None, rating: int | None, expected: Any, comment: str, url: str | None, is_json: bool
) -> int:  # fmt: skip
    """Say what you think of RUN, which has ended: a thumb, a rating, or what its output should have been. It becomes an
    example.

    \b
    Example:
      pilothouse feedback run_... --down --comment "wrong address"
      pilothouse feedback run_... --expected '{"granted": true}'
    """
    if sum(one is not None for one in (up, rating, expected)) != 1:
        raise click.UsageError("Give one of --up, --down, --rating and --expected.")
    said: dict[str, Any] = {"kind": "correction", "expected": expected}
    if up is not None:
        said = {"kind": "thumb", "value": 1 if up else -1}
    elif rating is not None:
        said = {"kind": "rating", "value": rating}
    with connect(url) as client:
        found = client.give_feedback(run, comment=comment, **said)
    if is_json:
        show_json(found)
    else:
        click.echo(f"{found['id']} is kept.")
    return Exit.DONE


@click.group(short_help="Make versions of examples, and write them out.")
def datasets() -> None:
    """Make versions of examples, and write them out for training. A version never changes; what is erased is gone from
    it.

    \b
    Example:
      pilothouse datasets make refunds support --corrected
      pilothouse datasets export refunds:1 --format openai --part train --output train.jsonl
    """


@datasets.command("list", short_help="All versions of all datasets.")
@node_options
def list_datasets(url: str | None, is_json: bool) -> int:
    """All versions of all datasets, the oldest first.

    \b
    Example: pilothouse datasets list
    """
    with connect(url) as client:
        page = client.list_datasets()
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = [
        (f"{one['name']}:{one['number']}", one["agent"], str(one["train"]), str(one["test"]), one["by"],
         one["digest"][:19])
        for one in page["items"]
    ]  # fmt: skip
    show_table(("VERSION", "AGENT", "TRAIN", "TEST", "BY", "DIGEST"), rows)
    return Exit.DONE


@datasets.command("make", short_help="Make the next version of a dataset.")
@click.argument("name")
@click.argument("agent")
@click.option("--source", "sources", multiple=True, type=click.Choice(get_args(ExampleSource)),
              help="Only examples from there. May be given many times.")  # fmt: skip
@click.option("--score-from", type=click.FloatRange(0, 1), metavar="SCORE", help="Only examples that scored so well.")
@click.option("--corrected", is_flag=True, help="Only examples that say what the output should have been.")
@click.option("--test-share", type=click.FloatRange(0, 1), default=0.2, show_default=True, metavar="SHARE",
              help="How much goes into the part `test`; one person is only ever in one part.")  # fmt: skip
@node_options
def make(name: str, agent: str, sources: tuple[str, ...], url: str | None, is_json: bool, **choice: Any) -> int:
    """Make the next version of the dataset NAME, of what was said about runs of AGENT.

    \b
    Example: pilothouse datasets make refunds support --source correction --source review
    """
    with connect(url) as client:
        found = client.make_dataset(name, agent=agent, sources=list(sources), **choice)
    if is_json:
        show_json(found)
    else:
        click.echo(f"{found['name']}:{found['number']} has {found['train']} to train and {found['test']} to test.")
    return Exit.DONE


def read_version(text: str) -> tuple[str, str]:
    """`name:number` or `name`, of which the last version is meant."""
    name, _, number = text.partition(":")
    return name, number or "last"


@datasets.command("show", short_help="What is in a version.")
@click.argument("version")
@node_options
def show_version(version: str, url: str | None, is_json: bool) -> int:
    """What is in VERSION (NAME:NUMBER, or NAME for the last one), and how much of it was withdrawn.

    \b
    Example: pilothouse datasets show refunds:1
    """
    with connect(url) as client:
        found = client.read_dataset(*read_version(version))
    if is_json:
        show_json(found)
        return Exit.DONE
    rows = [
        (one["example"]["id"], one["part"], one["example"]["source"], on_one_line(one["example"]["input"]))
        for one in found["items"]
    ]
    show_table(("EXAMPLE", "PART", "SOURCE", "INPUT"), rows, flexible="INPUT")
    _tell_withdrawn(found)
    return Exit.DONE


def _tell_withdrawn(found: dict[str, Any]) -> None:
    if found["withdrawn"]:
        click.echo(f"{len(found['withdrawn'])} examples were withdrawn since it was made: they are gone.", err=True)


@datasets.command("export", short_help="Write a version out for training.")
@click.argument("version")
@click.option("--format", "form", type=click.Choice(FORMATS), default="openai", show_default=True, help="Of the lines.")
@click.option("--part", type=click.Choice(("train", "test")), help="Only that part.")
@click.option("--system", metavar="TEXT", help="A system prompt for each example.")
@click.option("--output", required=True, type=click.Path(dir_okay=False), metavar="FILE", help="Where to write it.")
@node_options
def export(
    version: str, form: str, part: str | None, system: str | None, output: str, url: str | None, is_json: bool
) -> int:  # fmt: skip
    """Write VERSION to a file, a line of JSON for each example, in a format that fine-tuning takes.

    \b
    Example: pilothouse datasets export refunds:1 --format dpo --part train --output pairs.jsonl
    """
    with connect(url) as client:
        found = client.read_dataset(*read_version(version))
    items = [one for one in found["items"] if part in (None, one["part"])]
    written, left_out = lines(items, form, system)
    path = Path(output)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    draft.write_text("".join(f"{line}\n" for line in written), encoding="utf-8")
    draft.replace(path)
    if is_json:
        show_json({"file": output, "lines": len(written), "left_out": left_out, "withdrawn": len(found["withdrawn"])})
        return Exit.DONE
    click.echo(f"{len(written)} lines are in {output}; {left_out} examples do not say what this format needs.")
    _tell_withdrawn(found)
    return Exit.DONE


@click.command(short_help="Withdraw all examples of a person.")
@click.argument("subject")
@click.option("--yes", is_flag=True, help="Do not ask.")
@node_options
def erase(subject: str, yes: bool, url: str | None, is_json: bool) -> int:
    """Withdraw all examples of SUBJECT, from all dataset versions too, and destroy the key of their digests in the
    audit log. This cannot be undone.

    \b
    Example: pilothouse datasets erase customer-42 --yes
    """
    if not yes:
        click.confirm("Withdraw all examples of this subject?", abort=True, err=True)
    with connect(url) as client:
        found = client.erase_subject(subject)
    if is_json:
        show_json(found)
    else:
        click.echo(f"{found['examples']} examples are withdrawn.")
    return Exit.DONE


datasets.add_command(erase, "erase")
