"""The runbooks: a section for each alert and none besides, with queries of metrics that exist and commands that do."""

import re
import shlex
from pathlib import Path

import click
import pytest

from pilothouse.cli.program import program
from pilothouse.domain.objective import Objectives
from pilothouse.observability.objective import RUNBOOKS, prometheus_rules
from tests.observability.test_metric import families, told_of_everything

ROOT = Path(__file__).parents[2]
EVERYTHING = Objectives(first_output_within_seconds=1, cost_usd_a_day=1, review_within_seconds=1)


def text():
    return (ROOT / RUNBOOKS).read_text(encoding="utf-8")


def sections():
    return re.findall(r"^## (.+)$", text(), re.MULTILINE)


def rules():
    """Of all alerts there are."""
    groups = prometheus_rules({"desk": EVERYTHING})["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def queries():
    """Each line of a block of PromQL."""
    blocks = re.findall(r"```promql\n(.*?)```", text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_each_alert_links_to_a_section_that_is_there_and_each_section_belongs_to_one():
    linked = {rule["annotations"]["runbook_url"] for rule in rules()}
    assert linked == {f"{RUNBOOKS}#{title.lower()}" for title in sections()}
    assert len(sections()) == len(set(sections()))
    links = set(re.findall(r"\]\(#(\w+)\)", text()))
    assert links <= {title.lower() for title in sections()}


def test_where_runbooks_are_served_is_the_readers_choice():
    groups = prometheus_rules({}, "https://wiki.example/pilothouse")["groups"]
    assert groups[0]["rules"][0]["annotations"]["runbook_url"] == "https://wiki.example/pilothouse#pilothousenodedown"


def test_each_section_says_what_it_is_what_to_look_at_and_what_to_do():
    for part in re.split(r"^## ", text(), flags=re.MULTILINE)[1:]:
        title, said = part.split("\n", 1)
        assert said.lstrip().startswith("**"), title
        assert "```promql" in said, title
        assert re.search(r"^1\. ", said, re.MULTILINE), title


def test_the_metrics_that_are_asked_for_exist():
    there = set(families(told_of_everything()))
    for query in queries():
        for name in re.findall(r"\b(pilothouse_\w+)", query):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in there, query


def commands():
    """Each command that is shown, as its words."""
    shown = re.findall(r"`(pilothouse [^`]+)`", text()) + re.findall(r"^(pilothouse [^#\n]+)", text(), re.MULTILINE)
    return [shlex.split(one) for one in shown if not one.startswith("pilothouse alerts export")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_that_is_shown_is_understood(words):
    command: click.Command = program
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, words
        command, rest = found, rest[1:]
    if isinstance(command, click.Group):
        assert not rest, words
        return
    command.make_context(words[-1], list(rest))


def test_what_is_no_command_is_found():
    with pytest.raises(click.UsageError):
        test_a_command_that_is_shown_is_understood(["pilothouse", "runs", "list", "--nonsense"])
    with pytest.raises(AssertionError):
        test_a_command_that_is_shown_is_understood(["pilothouse", "nothing"])
