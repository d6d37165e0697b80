"""`pilothouse schedules`, and schedules of pilothouse.toml: made, shown, fired, paused, deleted."""

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import SETTINGS, CommandLine, make_project, serve

pytestmark = pytest.mark.slow

FILE = '\n[schedules.nightly]\nagent = "stepped"\ncron = "0 3 * * *"\nzone = "Europe/Berlin"\ninput = "all"\n'


def test_schedules_from_the_command_line(served):
    assert "There are no schedules." in served("schedules").stderr
    assert served("schedules", "add", "often", "stepped", "--every", "3600", "--input", '"x"').exit_code == Exit.DONE
    listed = served("schedules", "list").stdout
    assert listed.split()[:2] == ["SCHEDULE", "STATUS"]
    assert "every 3600 s" in listed
    assert len(served.json("schedules", "show", "often")["firings"]) == 10
    assert "paused" in served("schedules", "pause", "often").stdout
    assert served.json("schedules", "resume", "often")["status"] == "active"
    run = served("schedules", "run", "often").stdout.strip()
    assert served("runs", "watch", run).exit_code == Exit.DONE
    assert served("schedules", "add", "often", "stepped", "--every", "5").exit_code == Exit.CONFLICT
    assert served("schedules", "add", "other", "stepped").exit_code == Exit.USAGE
    assert served("schedules", "add", "other", "stepped", "--cron", "x").exit_code == Exit.REFUSED
    assert served("schedules", "delete", "often").exit_code == Exit.DONE
    assert served("schedules", "show", "often").exit_code == Exit.NOT_FOUND


def test_schedules_of_the_file_are_there_and_go_with_it(tmp_path):
    folder = make_project(tmp_path)
    (folder / "pilothouse.toml").write_text(SETTINGS + FILE)
    with serve(folder) as url:
        shown = CommandLine(folder, url).json("schedules", "show", "nightly")["schedule"]
        assert (shown["origin"], shown["zone"], shown["input"]) == ("file", "Europe/Berlin", "all")
    (folder / "pilothouse.toml").write_text(SETTINGS)
    with serve(folder) as url:
        assert CommandLine(folder, url).json("schedules", "list")["items"] == []


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ('[schedules.s]\nagent = "nobody"\ncron = "0 3 * * *"', "there is no agent nobody"),
        ('[schedules.s]\nagent = "stepped"\ncron = "0 3 * *"', "no cron rule"),
        ('[schedules.s]\ncron = "0 3 * * *"', "schedules.s needs a agent"),
    ],
)
def test_a_schedule_of_the_file_that_cannot_be_stops_the_node(tmp_path, file, told):
    folder = make_project(tmp_path)
    (folder / "pilothouse.toml").write_text(f"{SETTINGS}\n{file}\n")
    with pytest.raises(AssertionError, match=told), serve(folder):
        pass
