"""Defaults < file < environment < flags; what each source may say, and how a mistake in it is told."""

from pathlib import Path

import msgspec
import pytest

from pilothouse.domain.retry import Retry
from pilothouse.errors import SettingsInvalid
from pilothouse.settings import AgentSettings, Flag, Settings, find_file, load_settings

PORT = Flag("server.port", "--port", 4)


def load(folder: Path, file: str | None = None, environ: dict[str, str] | None = None, **more) -> Settings:
    if file is not None:
        (folder / "pilothouse.toml").write_text(file, encoding="utf-8")
    return load_settings(environ or {}, folder=folder, **more)


def refused(folder: Path, file: str | None = None, environ: dict[str, str] | None = None, **more) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(folder, file, environ, **more)
    assert caught.value.hint
    return caught.value.message


# --- who wins -------------------------------------------------------------------------------------------------------


def test_without_any_source_the_defaults_hold(tmp_path):
    settings = load(tmp_path)
    assert settings.server.host == "127.0.0.1"
    assert settings.server.port == 8700
    assert settings.file is None
    assert settings.given_by == {}


def test_a_later_source_wins_and_the_source_is_remembered(tmp_path):
    file, environ = "[server]\nport = 2\n", {"PILOTHOUSE_SERVER_PORT": "3"}
    assert load(tmp_path, file).server.port == 2
    assert load(tmp_path, file).given_by == {"server.port": "pilothouse.toml:2"}
    assert load(tmp_path, file, environ).server.port == 3
    assert load(tmp_path, file, environ).given_by == {"server.port": "PILOTHOUSE_SERVER_PORT"}
    assert load(tmp_path, file, environ, flags=[PORT]).server.port == 4
    assert load(tmp_path, file, environ, flags=[PORT]).given_by == {"server.port": "--port"}


def test_a_source_sets_only_what_it_says(tmp_path):
    settings = load(tmp_path, "[server]\nport = 2\nhost = '::1'\n", {"PILOTHOUSE_LOG_LEVEL": "debug"}, flags=[PORT])
    assert (settings.server.port, settings.server.host, settings.log.level) == (4, "::1", "debug")
    assert settings.server.max_depth == 64


def test_a_variable_is_text_in_the_type_of_its_setting(tmp_path):
    environ = {
        "PILOTHOUSE_SERVER_GRACE_SECONDS": "0.5",
        "PILOTHOUSE_SERVER_TRUSTED_HOSTS": "a.example, b.example,",
        "PILOTHOUSE_WORKER_ISOLATION": "inline",
        "PILOTHOUSE_LOG_FORMAT": "",
    }
    settings = load(tmp_path, environ=environ)
    assert settings.server.grace_seconds == 0.5
    assert settings.server.trusted_hosts == ("a.example", "b.example")
    assert settings.worker.isolation == "inline"
    assert settings.log.format == "text"


def test_variables_that_are_no_settings_and_those_of_kubernetes_are_passed_over(tmp_path):
    environ = {
        "PILOTHOUSE_URL": "http://far:1",
        "PILOTHOUSE_DEBUG": "1",
        "PILOTHOUSE_SERVICE_HOST": "10.0.0.1",
        "PILOTHOUSE_PORT_8700_TCP_ADDR": "10.0.0.1",
        "PILOTHOUSE_SERVER_PORT": "tcp://10.0.0.1:8700",
        "OTHER_SERVER_PORT": "1",
    }
    assert load(tmp_path, environ=environ).given_by == {}


def test_the_settings_cannot_be_changed(tmp_path):
    with pytest.raises(AttributeError):
        load(tmp_path).server.port = 1


# --- which file -----------------------------------------------------------------------------------------------------


def test_the_file_of_the_folder_is_read_unless_another_is_named(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.toml").write_text("[server]\nport = 9\n", encoding="utf-8")
    named = {"PILOTHOUSE_CONFIG": "other/mine.toml"}
    assert load(tmp_path, "[server]\nport = 2\n").server.port == 2
    assert load(tmp_path, environ=named).server.port == 9
    assert load(tmp_path, config="other/mine.toml").folder == tmp_path / "other"
    assert find_file(named, tmp_path, "pilothouse.toml") == tmp_path / "pilothouse.toml"


def test_a_file_that_was_named_and_is_not_there_is_told(tmp_path):
    assert "--config names no.toml, which is not a file" in refused(tmp_path, config="no.toml")
    assert "PILOTHOUSE_CONFIG names no.toml" in refused(tmp_path, environ={"PILOTHOUSE_CONFIG": "no.toml"})


def test_a_file_that_is_no_toml_is_told_with_its_line(tmp_path):
    assert "pilothouse.toml:2 is not TOML" in refused(tmp_path, "[server]\nport = \n")
    (tmp_path / "pilothouse.toml").write_bytes(b"[server]\n\n# \xff\n")
    assert "pilothouse.toml:3 is not UTF-8 text" in refused(tmp_path)


def test_a_file_from_windows_is_read(tmp_path):
    (tmp_path / "pilothouse.toml").write_bytes(b"\xef\xbb\xbf[server]\r\nport = 2\r\n")
    assert load(tmp_path).server.port == 2


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("[server]\n\nprot = 1\n", "pilothouse.toml:3: there is no setting server.prot; did you mean port?"),
        ("[servr]\nport = 1\n", "pilothouse.toml:1: there is no section servr; did you mean server?"),
        ("port = 1\n", "pilothouse.toml:1: there is no section port; did you mean [server] port?"),
        ("[agents.a]\ntarget = 'a:a'\nmod = 'event'\n", "pilothouse.toml:3: there is no setting agents.a.mod; "
         "did you mean mode?"),
        ("server = 1\n", "pilothouse.toml:1: server is a table; write [server] and its keys below"),
        ("[agents.'1x']\ntarget = 'a:a'\n", "pilothouse.toml:1: '1x' is no name for an agent"),
        ("[agents.a]\nmode = 'event'\n", "agents.a needs a target"),
        ("[agents.a]\ntarget = 'a:a'\nenvironment = 3\n", "pilothouse.toml:3: agents.a.environment is 3; "
         "expected a text or an array, each a text"),
        ("[agents.a]\ntarget = 'a:a'\npython = '3.12'\n", "agents.a.python is for an environment of the agent's own"),
        ("[agents.a]\ntarget = 'a:a'\nenvironment = 'x'\nisolation = 'inline'\n", "agents.a.isolation is \"inline\""),
        ("[agents.a]\ntarget = 'a:a'\nrun_budget = { token = 3 }\n", "there is no setting agents.a.run_budget.token"),
        ("[providers.openai]\nbreaker = { failure = 3 }\n", "there is no setting providers.openai.breaker.failure"),
        ("[secrets.KEY]\nhosts = ['a.example']\n", "secrets.KEY needs a value"),
        ("[agents.a]\ntarget = 'a:a'\negress = ['https://a.example']\n", "agents.a.egress"),
        ("[providers.local]\nurl = 'localhost'\n", "providers.local.url"),
        ("[agents.a]\ntarget = 'a:a'\nretry = { tries = 3 }\n", "pilothouse.toml:3: there is no setting "
         "agents.a.retry.tries"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_told_with_its_place_and_the_nearest(tmp_path, file, told):
    assert told in refused(tmp_path, file)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PILOTHOUSE_SERVER_PROT", "there is no variable PILOTHOUSE_SERVER_PROT; did you mean PILOTHOUSE_SERVER_PORT?"),
        ("PILOTHOUSE_CONFG", "did you mean PILOTHOUSE_CONFIG?"),
        ("PILOTHOUSE_AGENTS_A_TARGET", "PILOTHOUSE_AGENTS_A_TARGET: agents are set in pilothouse.toml only"),
    ],
)
def test_an_unknown_variable_is_told_with_the_nearest(tmp_path, name, told):
    assert told in refused(tmp_path, environ={name: "1"})


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("[server]\nport = 'x'\n", 'server.port is "x"; expected a whole number from 0 to 65535'),
        ("[server]\nport = 70000\n", "server.port is 70000; expected a whole number from 0 to 65535"),
        ("[server]\nport = true\n", "server.port is true; expected a whole number from 0 to 65535"),
        ("[log]\nlevel = 'loud'\n", 'log.level is "loud"; expected "debug", "error", "info" or "warning"'),
        ("[server]\ntrusted_hosts = 'a'\n", "expected an array, each a text"),
        ("[limits]\nidempotency_seconds = 0\n", "expected a number over 0 and at most"),
        ("[agents.a]\ntarget = 'a:a'\nkeep = 2\n", "agents.a.keep is 2; expected"),
        ("[agents.a]\ntarget = 'a:a'\nretry = { attempts = 0 }\n", "attempts is 0; it goes from 1 to 1000"),
        ("[agents.a]\ntarget = 'a:a'\nretry = { delay = 'x' }\n", 'agents.a.retry.delay is "x"; expected a number'),
    ],
)
def test_a_wrong_value_is_told_with_what_is_expected(tmp_path, file, told):
    message = refused(tmp_path, file)
    assert told in message
    assert f"pilothouse.toml:{file.count(chr(10))}: " in message


def test_a_wrong_value_names_the_variable_or_flag_it_came_from(tmp_path):
    assert 'PILOTHOUSE_SERVER_PORT: server.port is "x"' in refused(tmp_path, environ={"PILOTHOUSE_SERVER_PORT": "x"})
    assert "--port: server.port is -1" in refused(tmp_path, flags=[msgspec.structs.replace(PORT, value=-1)])


def test_all_mistakes_are_told_together(tmp_path):
    message = refused(tmp_path, "[server]\nport = 'x'\nprot = 1\n", {"PILOTHOUSE_LOG_LEVEL": "loud"})
    assert message.startswith("The settings are not usable:\n")
    assert len(message.splitlines()) == 4


def test_an_agent_is_read_whole(tmp_path):
    settings = load(tmp_path, "[agents.a]\ntarget = 'a:a'\nkeep = 'errors'\nretry = { attempts = 5, on = ['E'] }\n")
    assert settings.agents == {"a": AgentSettings(target="a:a", keep="errors", retry=Retry(attempts=5, on=("E",)))}


def test_agents_that_are_given_are_served_instead_of_those_of_the_file(tmp_path):
    mine = {"b": AgentSettings(target="b:b")}
    assert load(tmp_path, "[agents.a]\ntarget = 'a:a'\n", agents=mine).agents == mine


# --- records and address --------------------------------------------------------------------------------------------


def test_a_relative_path_of_the_records_is_taken_from_the_folder_of_the_file(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "my.toml").write_text("[records]\nurl = 'sqlite:///kept/runs.db'\n", encoding="utf-8")
    settings = load(tmp_path, config="project/my.toml")
    assert settings.records.path == tmp_path / "project" / "kept" / "runs.db"
    assert load(tmp_path).records.path == tmp_path / "pilothouse.db"


def test_an_absolute_path_and_memory_stay_as_they_are(tmp_path):
    url = f"sqlite:///{tmp_path / 'else.db'}"
    assert load(tmp_path, environ={"PILOTHOUSE_RECORDS_URL": url}).records.path == tmp_path / "else.db"
    assert load(tmp_path, environ={"PILOTHOUSE_RECORDS_URL": "sqlite:///:memory:"}).records.path is None


@pytest.mark.parametrize("url", ["pilothouse.db", "sqlite:///", "sqlite:///folder/", "sqlite:///a.db?mode=ro", "x://y"])
def test_an_address_of_records_that_is_none_is_told_with_an_example(tmp_path, url):
    message = refused(tmp_path, environ={"PILOTHOUSE_RECORDS_URL": url})
    assert "as in sqlite:///pilothouse.db" in message


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8700"), ("0.0.0.0", "http://127.0.0.1:8700"), ("::", "http://[::1]:8700"),
     ("::1", "http://[::1]:8700"), ("localhost", "http://localhost:8700")],
)  # fmt: skip
def test_the_address_is_one_that_a_program_of_this_machine_reaches(tmp_path, host, url):
    assert load(tmp_path, environ={"PILOTHOUSE_SERVER_HOST": host}).url == url
