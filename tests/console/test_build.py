"""When the console is built, and what a build needs: by the stamp beside the built files, in a tree of its own."""

from pathlib import Path

import pytest

import hatch_build


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources and a target; building is noted and not done."""
    source, target = tmp_path / "console", tmp_path / "static"
    (source / "node_modules").mkdir(parents=True)
    (source / "package.json").write_text("{}")
    (source / "main.ts").write_text("1")
    target.mkdir()
    monkeypatch.setattr(hatch_build, "SOURCE", source)
    monkeypatch.setattr(hatch_build, "STAMP", target / "built-from")
    monkeypatch.delenv(hatch_build.SKIP, raising=False)
    return tmp_path


def hook() -> hatch_build.CustomBuildHook:
    return object.__new__(hatch_build.CustomBuildHook)


def built(tree: Path) -> None:
    (tree / "static" / "built-from").write_text(hatch_build.digest_sources())


def test_a_fresh_clone_is_built_and_needs_node_for_that(tree, monkeypatch):
    calls: list[str] = []
    monkeypatch.setattr(hatch_build, "build", lambda: calls.append("built"))
    assert hook().dependencies() == [hatch_build.NODE]
    hook().initialize("standard", {})
    assert calls == ["built"]


def test_what_is_built_is_not_built_again_and_needs_nothing(tree, monkeypatch):
    built(tree)
    monkeypatch.setattr(hatch_build, "build", lambda: pytest.fail("it was built already"))
    assert hook().dependencies() == []
    hook().initialize("standard", {})


@pytest.mark.parametrize(
    ("name", "is_seen"),
    [("main.ts", True), ("new.css", True), ("page.test.ts", False), ("NOTE.md", False), ("node_modules/x.js", False)],
)
def test_a_change_of_a_source_is_seen_and_one_of_something_else_is_not(tree, name, is_seen):
    built(tree)
    (tree / "console" / name).write_text("changed")
    assert hatch_build.is_built() is not is_seen


def test_an_editable_installation_and_one_that_does_not_want_it_build_nothing(tree, monkeypatch):
    monkeypatch.setattr(hatch_build, "build", lambda: pytest.fail("nobody asked for it"))
    hook().initialize("editable", {})
    monkeypatch.setenv(hatch_build.SKIP, "1")
    assert hook().dependencies() == []
    hook().initialize("standard", {})


def test_without_sources_what_is_there_is_taken(tree):
    built(tree)
    (tree / "console" / "package.json").unlink()
    assert hatch_build.is_built()
