"""What `environment` of an agent means, and what makes two of them the same: values and files only, nothing is made."""

from pathlib import Path

import pytest

from pilothouse.compute.environment.python import EnvironmentProblem, find_python
from pilothouse.compute.environment.request import SDK_NEEDS, read_request

ROOT = Path(__file__).parents[2]


def digest(said, project, python=None):
    return read_request(said, python, project, None).digest


def test_the_sdk_needs_what_the_distribution_says():
    assert f'dependencies = ["{SDK_NEEDS}"]' in (ROOT / "pyproject.toml").read_text()


def test_a_file_and_a_list_and_one_requirement_are_read(tmp_path):
    (tmp_path / "requirements.txt").write_text(
        "# what it needs\nalpha==1  # pinned\n\nbeta>=2 \\\n  --hash=sha256:00\n"
    )
    found = read_request("requirements.txt", None, tmp_path, None)
    assert (found.lines, found.is_hashed) == (("alpha==1", "beta>=2 --hash=sha256:00"), True)
    assert read_request(("alpha==1", " "), None, tmp_path, None).lines == ("alpha==1",)
    assert read_request("alpha[extra]>=1", None, tmp_path, None).lines == ("alpha[extra]>=1",)


def test_comments_and_spaces_do_not_make_another_environment_and_versions_do(tmp_path):
    (tmp_path / "a.txt").write_text("alpha==1\n")
    (tmp_path / "b.txt").write_text("# the same\n\nalpha==1   # really\n")
    (tmp_path / "c.txt").write_text("alpha==2\n")
    assert digest("a.txt", tmp_path) == digest("b.txt", tmp_path) != digest("c.txt", tmp_path)


def test_files_that_a_file_names_count(tmp_path):
    (tmp_path / "requirements.txt").write_text("-c limits.txt\n--requirement=more.txt\nalpha\n")
    (tmp_path / "limits.txt").write_text("alpha<2\n")
    (tmp_path / "more.txt").write_text("beta\n")
    before = digest("requirements.txt", tmp_path)
    (tmp_path / "limits.txt").write_text("alpha<3\n")
    between = digest("requirements.txt", tmp_path)
    (tmp_path / "more.txt").write_text("gamma\n")
    assert len({before, between, digest("requirements.txt", tmp_path)}) == 3


@pytest.mark.parametrize("line", ["./lib", "lib @ file://{folder}/lib", "./lib[extra]"])
def test_the_content_of_a_local_package_counts_and_what_tools_leave_in_it_does_not(tmp_path, line):
    (tmp_path / "lib" / "__pycache__").mkdir(parents=True)
    (tmp_path / "lib" / "lib.py").write_text("ONE = 1\n")
    said = (line.format(folder=tmp_path),)
    before = digest(said, tmp_path)
    (tmp_path / "lib" / "__pycache__" / "lib.pyc").write_text("x")
    assert digest(said, tmp_path) == before
    (tmp_path / "lib" / "lib.py").write_text("ONE = 2\n")
    assert digest(said, tmp_path) != before


@pytest.mark.parametrize(
    ("said", "python", "problem"),
    [
        ("missing.txt", None, "there is neither a folder nor a file missing.txt"),
        ("./venv", None, "there is neither a folder nor a file ./venv"),
        (("-e ./lib",), None, "would change under what was made"),
        (("-r more.txt",), None, "give the file itself"),
        (("a\nb",), None, "more than one line"),
        ("empty", None, "is no virtual environment"),
        ("alpha", "3.9", "older than 3.11"),
        ("alpha", "3.99", "there is no Python 3.99 here"),
        ("alpha", "./nothing", "is no Python that can be run"),
        ("alpha", "./old", "is Python 3.8; Pilothouse needs 3.11 or newer"),
        ("loop.txt", None, "more than 8 files"),
        ("editable.txt", None, "would change under what was made"),
    ],
)
def test_what_cannot_be_an_environment_is_told(tmp_path, said, python, problem):
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop.txt").write_text("-r loop.txt\n")
    (tmp_path / "editable.txt").write_text("--editable ./lib\n")
    old = tmp_path / "old"
    old.write_text('#!/bin/sh\necho \'["cpython", [3, 8], "linux", null]\'\n')
    old.chmod(0o755)
    with pytest.raises(EnvironmentProblem) as raised:
        read_request(said, python, tmp_path, None)
    assert problem in str(raised.value)


def test_a_version_is_looked_for_beyond_a_shim_with_nothing_behind_it(tmp_path, monkeypatch):
    for folder, says in (("shims", "exit 127"), ("real", 'echo \'["cpython", [3, 31], "linux", null]\'')):
        program = tmp_path / folder / "python3.31"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{says}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/shims:{tmp_path}/real:/usr/bin:/bin")
    assert find_python("3.31", tmp_path, None).path == f"{tmp_path}/real/python3.31"
