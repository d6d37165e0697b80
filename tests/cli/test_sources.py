"""`pilothouse sources`, over a folder of a node that serves: a file becomes a run, poison is shown and replayed."""

import time

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import SETTINGS, CommandLine, make_project, serve

pytestmark = pytest.mark.slow

FILE = '\n[sources.inbox]\nkind = "folder"\npath = "inbox"\nagent = "stepped"\ninput = "body.text"\n'


def wait(look, within: float = 60.0):
    until = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < until
    return found


def test_a_file_becomes_a_run_and_poison_can_be_replayed(tmp_path):
    folder = make_project(tmp_path)
    (folder / "pilothouse.toml").write_text(SETTINGS + FILE)
    inbox = folder / "inbox"
    inbox.mkdir()
    (inbox / "good.json").write_text('{"text": "abc"}')
    (inbox / "bad.json").write_text('{"text": 7}')
    with serve(folder) as url:
        cli = CommandLine(folder, url)
        [run] = wait(lambda: cli.json("runs", "list", "--agent", "stepped", "--status", "succeeded")["items"])
        assert (run["output"], run["metadata"]["source"]) == ("ABC", "inbox")
        [letter] = wait(lambda: cli.json("sources", "dead", "inbox")["items"])
        assert letter["attributes"] == {"name": "bad.json"}
        assert "bad.json" in cli("sources", "dead", "inbox").stdout
        listed = cli("sources").stdout
        assert listed.split()[:2] == ["SOURCE", "KIND"]
        assert "folder" in listed
        assert cli("sources", "replay", "inbox", letter["id"]).exit_code == Exit.FAILED
        assert cli("sources", "dead", "nowhere").exit_code == Exit.NOT_FOUND
    text = (FILE.replace("body.text", "'mended'")).replace("pattern", "pattern")
    (folder / "pilothouse.toml").write_text(SETTINGS + text)
    with serve(folder) as url:
        cli = CommandLine(folder, url)
        assert cli("sources", "replay", "inbox").exit_code == Exit.DONE
        assert cli.json("sources", "dead", "inbox")["items"] == []
        assert "There are no dead letters." in cli("sources", "replay", "inbox").stderr


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ('[sources.s]\nagent = "nobody"', "there is no agent nobody"),
        ('[sources.s]\nagent = "stepped"\ninput = "body."', "no JMESPath"),
        ('[sources.s]\nagent = "stepped"\nverify = "github"', "needs a secret"),
        ('[sources.s]\nagent = "stepped"\nkind = "folder"', "needs a path"),
        ('[sources.s]\nagent = "stepped"\nkind = "nats"\nurl = "nats://x"', "needs a stream"),
        ('[sources.s]\nagent = "stepped"\nkind = "fax"', "expected"),
    ],
)
def test_a_source_that_cannot_be_stops_the_node(tmp_path, file, told):
    folder = make_project(tmp_path)
    (folder / "pilothouse.toml").write_text(f"{SETTINGS}\n{file}\n")
    with pytest.raises(AssertionError, match=told), serve(folder):
        pass
