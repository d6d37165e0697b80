"""`runs`, `sessions`, `reviews` and `agents`: what people ask of a node that runs, and how they answer it."""

import json

import pytest

from pilothouse.cli.exits import Exit

pytestmark = pytest.mark.slow


def test_agents_are_listed_and_shown_with_their_schema(served):
    listed = served("agents")
    assert listed.exit_code == Exit.DONE
    assert listed.stdout.splitlines()[0].split() == ["AGENT", "MODE", "RELEASE", "DESCRIPTION"]
    assert "diary" in listed.stdout
    shown = served.json("agents", "show", "diary")
    assert shown["mode"] == "session"
    assert shown["input_schema"]
    assert "input\n" in served("agents", "show", "words").stdout


def test_runs_are_listed_filtered_and_paged(served):
    ids = [served.json("run", "stepped", text)["id"] for text in ("a", "b", "c")]
    page = served.json("runs", "list", "--agent", "stepped", "--limit", "2")
    assert [run["id"] for run in page["items"]] == [ids[2], ids[1]]
    rest = served.json("runs", "list", "--agent", "stepped", "--cursor", page["next_cursor"])
    assert [run["id"] for run in rest["items"]] == [ids[0]]
    table = served("runs", "--status", "succeeded")
    assert table.stdout.split()[:2] == ["RUN", "STATUS"]
    assert ids[0] in table.stdout


def test_no_runs_like_that_is_said_and_is_no_failure(served):
    result = served("runs", "list", "--agent", "halting", "--status", "failed")
    assert (result.exit_code, result.stdout) == (Exit.DONE, "")
    assert "There are no runs like that." in result.stderr


def test_a_run_is_shown_with_its_steps_and_its_events(served):
    run = served.json("run", "stepped", "abc")["id"]
    shown = served("runs", "show", run).stdout
    assert "succeeded" in shown
    assert "abc" in shown
    assert "ABC" in shown
    steps = served.json("runs", "steps", run)["items"]
    assert [(step["name"], step["output"]) for step in steps] == [("note", "ABC")]
    events = [json.loads(line) for line in served("runs", "events", run, "--json").stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "run.queued"
    assert events[-1]["type"] == "run.succeeded"
    later = served("runs", "events", run, "--after", str(len(events) - 1)).stdout
    assert "run.succeeded" in later
    assert len(later.splitlines()) == 1


@pytest.mark.parametrize("flag", [(), ("--follow",)], ids=["so far", "follow"])
def test_the_lines_that_a_run_printed_are_shown_where_they_were_printed(served, flag):
    run = served.json("run", "chatty", "abc")["id"]
    shown = served("runs", "logs", run, *flag)
    assert [line.split("  ", 1)[1] for line in shown.stdout.splitlines()] == ["noting abc"]
    assert [line.split("  ", 1)[1] for line in shown.stderr.splitlines()] == ["with care"]
    lines = [json.loads(line) for line in served("runs", "logs", run, *flag, "--json").stdout.splitlines()]
    assert [(line["stream"], line["text"]) for line in lines] == [("stdout", "noting abc"), ("stderr", "with care")]


def test_watching_a_run_leaves_with_its_outcome(served):
    run = served.json("run", "stepped", "abc")["id"]
    result = served("runs", "watch", run)
    assert result.exit_code == Exit.DONE
    assert result.stdout == "ABC\n"
    failed = json.loads(served("run", "broken", "x", "--json").stdout)["id"]
    assert served("runs", "watch", failed).exit_code == Exit.FAILED


def test_an_unknown_run_leaves_with_3(served):
    result = served("runs", "show", "run_that_never_was")
    assert result.exit_code == Exit.NOT_FOUND
    assert "Next:  `pilothouse runs` lists the kept runs." in result.stderr


def test_a_waiting_run_is_cancelled_and_an_ended_one_is_left_as_it_is(served):
    run = served.json("run", "patient", "x", "--async")["id"]
    cancelled = served("runs", "cancel", run, "--reason", "wrong one", "--wait", "10")
    assert cancelled.exit_code == Exit.DONE
    assert cancelled.stdout == f"{run} is cancelled.\n"
    assert served.json("runs", "show", run)["status"] == "cancelled"
    ended = served.json("run", "stepped", "a")["id"]
    served("runs", "cancel", ended)
    assert served.json("runs", "show", ended)["status"] == "succeeded"


def test_all_live_runs_of_an_agent_are_listed_and_cancelled_together(served):
    runs = {served.json("run", "halting", "x", "--async")["id"] for _ in range(3)}
    other = served.json("run", "patient", "x", "--async")["id"]
    live = {one["id"] for one in served.json("runs", "list", "--live", "--agent", "halting", "--limit", "200")["items"]}
    assert runs <= live
    assert served("runs", "list", "--live", "--status", "failed").exit_code == Exit.USAGE
    assert served("runs", "cancel", other, "--agent", "halting").exit_code == Exit.USAGE
    assert served("runs", "cancel", "--agent", "halting", "--reason", "wrong prompt").exit_code == Exit.DONE
    for run in runs:
        assert served("runs", "watch", run).exit_code == Exit.CANCELLED
    left = served.json("runs", "list", "--live", "--agent", "halting", "--limit", "200")["items"]
    assert runs.isdisjoint(one["id"] for one in left)
    assert served.json("runs", "show", other)["status"] not in ("cancelled", "failed", "succeeded")
    served("runs", "cancel", other)


def test_all_live_turns_of_a_session_are_cancelled_together_and_those_of_others_go_on(served):
    def start(key):
        return served.json("run", "listener", "x", "--session", key, "--async")["id"]

    turns, other = [start("cancelled-together") for _ in range(3)], start("left-alone")
    done = served("runs", "cancel", "--session", "cancelled-together", "--json")
    assert sorted(json.loads(done.stdout)["cancelled"]) == sorted(turns)
    for run in turns:
        assert served("runs", "watch", run).exit_code == Exit.CANCELLED
    assert served("runs", "signal", other, "go", '"on"').exit_code == Exit.DONE
    assert served("runs", "watch", other).stdout == "on\n"


def test_a_run_the_node_does_not_know_yet_is_cancelled_when_it_comes(served):
    told = served("runs", "cancel", "run_that_comes_later")
    assert told.exit_code == Exit.DONE
    assert "should it come" in told.stdout
    assert served("run", "patient", "x", "--run-id", "run_that_comes_later").exit_code == Exit.CANCELLED


def test_a_retry_keeps_the_finished_steps(served):
    run = served.json("run", "patient", "x", "--async")["id"]
    assert served("runs", "signal", run, "go", '{"not": "a text"}').exit_code == Exit.DONE
    assert served("runs", "watch", run).exit_code == Exit.FAILED  # its output has to be a text
    new = served("runs", "retry", run).stdout.strip()
    assert new not in ("", run)
    assert served.json("runs", "show", new)["origin"] == run
    kept = {step["key"]: step for step in served.json("runs", "steps", new)["items"]}
    before = {step["key"]: step for step in served.json("runs", "steps", run)["items"] if step["name"] == "note"}
    assert [kept[key]["output"] for key in before] == ["X"]
    served("runs", "cancel", new)


def test_a_fork_goes_on_with_another_output_for_a_step(served):
    run = served.json("run", "stepped", "abc")["id"]
    key = served.json("runs", "steps", run)["items"][0]["key"]
    forked = served("runs", "fork", run, "--replace", f'{key}="other"', "--wait", "10")
    assert (forked.exit_code, forked.stdout) == (Exit.DONE, "other\n")
    assert served("runs", "fork", run, "--replace", "no value").exit_code == Exit.USAGE


def test_a_session_remembers_forks_changes_and_is_forgotten(served):
    for note in ("rain", "sun"):
        turn = served("run", "diary", note, "--session", "ann")
    assert turn.stdout == "2 noted\n"
    assert "2" in served("sessions", "show", "diary", "ann").stdout
    history = served.json("sessions", "history", "diary", "ann")["items"]
    assert [turn["input"] for turn in history] == ["rain", "sun"]
    assert served.json("sessions", "state", "diary", "ann") == {"notes": ["rain", "sun"]}
    forked = served.json("sessions", "fork", "diary", "ann", "ann-2", "--after", history[0]["run"])
    assert forked["turns"] == 1
    changed = served.json("sessions", "state", "diary", "ann-2", "--set", '{"mood": "good"}')
    assert changed["mood"] == "good"
    stale = served("sessions", "state", "diary", "ann-2", "--set", '{"mood": "bad"}', "--if-version", "0")
    assert stale.exit_code == Exit.CONFLICT
    assert served("sessions", "delete", "diary", "ann-2", "--yes").exit_code == Exit.DONE
    assert served("sessions", "show", "diary", "ann-2").exit_code == Exit.NOT_FOUND


def test_a_session_is_forgotten_only_after_a_yes(served):
    served("run", "diary", "rain", "--session", "eve")
    asked = served("sessions", "delete", "diary", "eve", input="n\n")
    assert asked.exit_code == Exit.INTERRUPTED
    assert served("sessions", "show", "diary", "eve").exit_code == Exit.DONE


def test_a_subject_is_erased_only_after_a_yes(served):
    served("run", "diary", "rain", "--session", "zoe", "--subject", "zoe@example.org")
    asked = served("subjects", "erase", "zoe@example.org", input="n\n")
    assert asked.exit_code == Exit.INTERRUPTED
    erased = served.json("subjects", "erase", "zoe@example.org", "--yes")
    assert erased == {"runs": 1, "sessions": 1, "examples": 0}
    assert served("sessions", "show", "diary", "zoe").exit_code == Exit.NOT_FOUND
    assert "0 runs" in served("subjects", "erase", "zoe@example.org", "--yes").stdout


def open_review(served, run: str) -> dict:
    """The review a run waits for; `runs watch` tells when it is asked."""
    for _ in range(100):
        page = served.json("reviews", "list", "--run", run)
        if page["items"]:
            return page["items"][0]
        served("run", "count", "a moment")
    raise AssertionError(f"{run} asks nothing")


def test_a_review_is_listed_shown_and_decided_and_its_run_goes_on(served):
    run = served.json("run", "asking", "dear all", "--async")["id"]
    review = open_review(served, run)
    assert review["question"] == "Shall it be sent?"
    assert review["id"] in served("reviews").stdout
    shown = served("reviews", "show", review["id"])
    assert "dear all" in shown.stdout
    decided = served("reviews", "decide", review["id"], "approve", "--reason", "checked")
    assert decided.stdout == f"{review['id']} is answered: approve.\n"
    assert served("runs", "watch", run).stdout == "approve: checked\n"
    again = served("reviews", "decide", review["id"], "reject")
    assert again.exit_code == Exit.CONFLICT


def test_what_came_out_or_was_decided_is_overridden_and_the_original_shown(served):
    run = served.json("run", "asking", "dear all", "--async")["id"]
    review = open_review(served, run)["id"]
    early = served("override", "review", review, "reject", "--reason", "too soon")
    assert early.exit_code == Exit.CONFLICT
    served("reviews", "decide", review, "approve")
    served("runs", "watch", run)
    told = served("override", "review", review, "reject", "--reason", "not to all")
    assert told.stdout.startswith(f"{review} is overridden (1. by local")
    assert "not to all" in served("reviews", "show", review).stdout
    change = ("override", "run", run, "--output", '"withdrawn"', "--reason", "not to all")
    assert served(*change, "--compensate", "words").exit_code == Exit.REFUSED  # that one takes a text
    found = served.json(*change)
    assert (found["output"], found["override"]["original"]) == ("withdrawn", "approve: ")
    assert found["override"]["number"] == 1
    shown = served("runs", "show", run).stdout
    assert "1. by local" in shown
    assert "withdrawn" in shown
    listed = served("override", "list", run).stdout
    assert "not to all" in listed
    assert "approve: " in listed
    assert served.json("override", "list", review)["items"][0]["original"]["verdict"] == "approve"
    again = served("override", "run", run, "--output", "1", "--reason", "x", "--superseded", "0")
    assert again.exit_code == Exit.CONFLICT
    assert served("override", "run", run, "--reason", "x").exit_code == Exit.USAGE
    assert served("override", "list", "run_x").exit_code == Exit.NOT_FOUND


def test_a_verdict_that_does_not_fit_its_answer_is_not_sent(served):
    assert served("reviews", "decide", "rev_x", "edit").exit_code == Exit.USAGE
    assert served("reviews", "decide", "rev_x", "approve", "--response", "no").exit_code == Exit.USAGE
    assert served("reviews", "decide", "rev_x", "maybe").exit_code == Exit.USAGE
    assert served("reviews", "show", "rev_x").exit_code == Exit.NOT_FOUND


def test_top_tells_of_each_agent_what_it_did_and_what_fails(served):
    served("run", "count", "a b", "--run-id", "run_top_count")
    served("run", "broken", "abc", "--run-id", "run_top_broken")
    shown = served("top", "--minutes", "60").stdout.splitlines()
    assert shown[0].startswith("Last 60 min: ")
    rows = {line.split()[0]: line.split() for line in shown[3:] if line and not line.startswith(" ")}
    assert (rows["broken"][3], rows["count"][3]) == ("100.0%", "0.0%")
    assert rows["count"][4].endswith("ms")
    assert any("agent_failed in broken" in line and "run_top_broken" in line for line in shown)
    assert json.loads(served("top", "--json").stdout)["total"]["failed"] >= 1


def test_somebody_votes_in_the_name_of_another_until_that_is_ended(served):
    made = served.json("delegations", "make", "bob", "--role", "legal", "--for", "2h")
    assert (made["to"], made["roles"]) == ("bob", ["legal"])
    assert made["id"] in served("delegations").stdout
    assert served("delegations", "end", made["id"]).stdout == f"{made['id']} has ended.\n"
    assert made["id"] not in served("delegations", "list").stdout
    assert served("delegations", "make", "bob", "--role", "legal", "--for", "soon").exit_code == Exit.USAGE


def test_costs_are_summed_up_also_when_nothing_has_cost_anything(served):
    said = served("costs", "--by", "model", "--from", "2026-11-01", "--to", "2026-11-30")
    assert said.exit_code == Exit.DONE
    assert said.stdout == "2026-11-01 to 2026-11-30 (UTC): 0 calls, 0 tokens, 0.00 USD.\n"
    assert served.json("costs")["items"] == []
    refused = served("costs", "--from", "2026-12-01", "--to", "2026-11-30")
    assert refused.exit_code == Exit.REFUSED
    assert "is after last_day" in refused.stderr
    assert served("costs", "--from", "soon").exit_code == Exit.USAGE


def test_an_appeal_is_filed_answered_and_in_force(served):
    run = served.json("run", "diary", "x", "--session", "appeal")["id"]
    filed = served.json("reviews", "appeal", run, "--reason", "not so", "--asks", '"two"')
    assert (filed["kind"], filed["details"]["asks"], filed["ballot"]["requester"]) == ("appeal", "two", "local")
    assert filed["id"] in served("reviews", "list", "--kind", "appeal").stdout
    assert filed["id"] not in served("reviews", "list", "--kind", "incident").stdout
    served.json("reviews", "decide", filed["id"], "edit", "--edited", '"two"')
    found = served.json("runs", "show", run)
    assert (found["output"], filed["id"] in found["override"]["reason"]) == ("two", True)
    assert served("reviews", "appeal", "run_x", "--reason", "x").exit_code == Exit.NOT_FOUND


def test_a_hold_that_would_hold_nothing_is_refused_with_what_to_do_instead(served):
    refused = served("hold", "place", "--region", "eu", "--reason", "odd")
    assert refused.exit_code != Exit.DONE
    assert "no node is in a region" in refused.stderr
    assert "Next:  Leave the region out" in refused.stderr
    assert served.json("hold", "list")["items"] == []


def test_an_incident_is_opened_by_hand_and_with_a_hold(served):
    opened = served("reviews", "incident", "it went out twice", "--agent", "diary")
    assert opened.stdout.endswith("is open.\n")
    held = served.json("hold", "place", "--agent", "broken", "--reason", "odd", "--incident")
    found = served.json("reviews", "list", "--kind", "incident")["items"]
    assert [one["details"].get("hold") for one in found] == [None, held["id"]]
    assert served("hold", "lift", held["id"]).exit_code == Exit.DONE
