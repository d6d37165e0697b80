"""`pilothouse run`: tokens as they come, JSON for programs, and an exit code that tells how the run ended."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import environment

pytestmark = pytest.mark.slow

RUN = "run_chosen_to_be_cancelled"
INTERRUPTED_RUN = "run_chosen_to_be_interrupted"
HALTING_RUN = "run_chosen_to_halt"


def test_what_an_agent_says_goes_to_stdout_and_nothing_else(served):
    result = served("run", "words", "one two three")
    assert result.exit_code == Exit.DONE
    assert result.stdout == "one two three \n"
    assert result.stderr == ""


def test_words_are_shown_as_they_come_and_not_at_the_end(served):
    process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse", "run", "halting", "x", "--run-id", HALTING_RUN],
        env=environment(PILOTHOUSE_URL=served.url), stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout.read(4) == b"one "  # and the agent says nothing more before it gets the signal
        assert served("runs", "signal", HALTING_RUN, "go").exit_code == 0
        assert process.stdout.read() == b"two\n"
    assert process.returncode == Exit.DONE


def test_an_output_that_was_not_streamed_is_printed_once_as_json(served):
    result = served("run", "count", "one two")
    assert result.exit_code == Exit.DONE
    assert json.loads(result.stdout) == {"words": 2}


def test_json_gives_the_whole_run(served):
    run = served.json("run", "words", "hello there", "--metadata", '{"from": "test"}')
    assert run["status"] == "succeeded"
    assert run["output"] == "hello there "
    assert run["metadata"] == {"from": "test"}
    assert run["id"].startswith("run_")


def test_a_failed_run_leaves_with_1_and_says_why_and_what_next(served):
    result = served("run", "broken", "milk")
    assert result.exit_code == Exit.FAILED
    assert result.stdout == ""
    assert "no milk today" in result.stderr
    assert "Next:  " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_failed_run_with_json_still_gives_the_run(served):
    result = served("run", "broken", "milk", "--json")
    assert result.exit_code == Exit.FAILED
    assert json.loads(result.stdout)["error"]["code"] == "agent_failed"


def test_an_unknown_agent_leaves_with_3(served):
    result = served("run", "nobody", "hello")
    assert result.exit_code == Exit.NOT_FOUND
    assert "`pilothouse agents` lists the agents" in result.stderr


def test_an_unknown_agent_with_json_is_a_json_error(served):
    result = served("run", "nobody", "hello", "--json")
    assert result.exit_code == Exit.NOT_FOUND
    assert json.loads(result.stderr)["error"]["code"] == "agent_not_found"


def test_input_that_does_not_fit_leaves_with_5_and_names_the_place(served):
    result = served("run", "words", '{"message": 5}')
    assert result.exit_code == Exit.REFUSED
    assert "Expected `str`, got `object`" in result.stderr


def test_input_comes_from_a_file_or_from_stdin(served):
    (served.folder / "letter.txt").write_text("from a file", encoding="utf-8")
    assert served("run", "words", "@letter.txt").stdout == "from a file \n"
    assert served("run", "words", "-", input="from stdin").stdout == "from stdin \n"


def test_a_file_that_is_not_there_is_a_wrong_command_line(served):
    result = served("run", "words", "@missing.txt")
    assert result.exit_code == Exit.USAGE
    assert "missing.txt" in result.stderr


def test_text_is_never_read_as_json(served):
    assert served("run", "words", "5", "--text").stdout == "5 \n"


def test_async_prints_the_id_and_wait_leaves_with_9_when_it_is_not_over(served):
    run = served("run", "patient", "x", "--async").stdout.strip()
    assert run.startswith("run_")
    result = served("run", "patient", "x", "--wait", "0.1")
    assert result.exit_code == Exit.NOT_OVER
    assert "runs watch" in result.stderr
    served("runs", "cancel", run)


def test_the_same_key_is_the_same_run_and_another_request_under_it_is_a_conflict(served):
    first = served.json("run", "count", "one", "--key", "k1")
    assert served.json("run", "count", "one", "--key", "k1")["id"] == first["id"]
    assert served("run", "count", "two", "--key", "k1").exit_code == Exit.CONFLICT


def test_a_cancelled_run_leaves_with_8(served):
    process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse", "run", "patient", "x", "--no-stream", "--run-id", RUN],
        env=environment(PILOTHOUSE_URL=served.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        wait_known(served, RUN)
        assert served("runs", "cancel", RUN, "--wait", "10").exit_code == 0
        _, said = process.communicate(timeout=60)
    assert process.returncode == Exit.CANCELLED
    assert "Error: " in said


def wait_known(served, run: str) -> None:
    """Returns once the node has the run."""
    pause = threading.Event()
    for _ in range(400):
        if served("runs", "show", run).exit_code == 0:
            return
        pause.wait(0.02)
    raise AssertionError(f"{run} did not come")


def test_ctrl_c_cancels_the_run_and_leaves_with_130(served):
    process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse", "run", "patient", "x", "--run-id", INTERRUPTED_RUN],
        env=environment(PILOTHOUSE_URL=served.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job has it ignored
    )  # fmt: skip
    with process:
        wait_known(served, INTERRUPTED_RUN)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert "cancel" in said
    assert served.json("run", "count", "still here")["status"] == "succeeded"


def test_no_node_leaves_with_6_and_says_how_to_start_one(cli):
    result = cli("run", "words", "x", "--url", "http://127.0.0.1:9", "--unkept")
    assert result.exit_code == Exit.UNAVAILABLE
    assert "pilothouse serve" in result.stderr
