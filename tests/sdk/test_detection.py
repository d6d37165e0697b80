"""Which framework an object is of: told by its type, with words for what is near and does not work."""

import importlib
import sys

import pytest

from pilothouse.errors import TargetInvalid
from pilothouse.sdk.bridges import detection
from pilothouse.sdk.bridges.function import FunctionBridge
from pilothouse.sdk.target import find_object, from_object
from pilothouse.wire.host import AgentTarget


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes packages that look like installed frameworks: the modules and what an installer writes beside them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(package, module, names, distribution, version):
        top = package.partition(".")[0]
        for name in [one for one in sys.modules if one == top or one.startswith(f"{top}.")]:
            monkeypatch.delitem(sys.modules, name)  # a package that others share, as `google`, may be loaded already
        folder = tmp_path.joinpath(*module.split("."))
        folder.parent.mkdir(parents=True, exist_ok=True)
        for parent in folder.relative_to(tmp_path).parents:
            if parent.name:
                (tmp_path / parent / "__init__.py").touch()
        folder.with_suffix(".py").write_text("".join(f"class {name}:\n    pass\n" for name in names))
        if version is not None:
            written = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
            written.mkdir()
            (written / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        importlib.invalidate_caches()
        return importlib.import_module(module)

    yield install
    for name in set(sys.modules) - before:
        del sys.modules[name]


def reason_of(found):
    with pytest.raises(TargetInvalid) as caught:
        from_object("support", AgentTarget(target="shop:thing"), found)
    return caught.value.message


@pytest.mark.parametrize("framework", detection.FRAMEWORKS, ids=lambda one: one.stem)
def test_a_subclass_of_a_framework_s_agent_is_recognised_by_its_ancestors(installed, framework):
    names = sorted(framework.types)
    module = installed(framework.package, f"{framework.package}.inside", names, framework.distribution, framework.floor)
    for name in names:
        own = type("Mine", (getattr(module, name),), {})
        assert detection.framework_of(own()) == framework


@pytest.mark.parametrize("framework", detection.FRAMEWORKS, ids=lambda one: one.stem)
def test_a_version_below_the_floor_is_refused_with_both_versions(installed, framework):
    name = sorted(framework.types)[0]
    module = installed(framework.package, f"{framework.package}.inside", [name], framework.distribution, "0.1.2")
    said = reason_of(getattr(module, name)())
    assert f"{framework.name} 0.1.2 is installed" in said
    assert framework.floor in said
    assert f"pip install '{framework.distribution}>={framework.floor}'" in said


def test_a_user_s_own_package_of_the_same_name_is_no_framework(installed):
    module = installed("agents", "agents.mine", ["Agent"], "openai-agents", None)
    assert detection.framework_of(module.Agent()) is None
    assert "agents.mine.Agent is no agent" in reason_of(module.Agent())


def test_what_only_becomes_an_agent_says_what_to_write(installed):
    module = installed("langgraph", "langgraph.graph", ["StateGraph"], "langgraph", "1.2.0")
    assert "write graph.compile()" in reason_of(module.StateGraph())


def test_an_object_that_nothing_can_run_is_told_with_what_would_work():
    said = reason_of(42)
    assert "a int is no agent" in said
    assert detection.FUNCTIONS in said
    assert all(what in said for what in detection.all_that_works())


def test_a_class_of_a_framework_is_no_agent_of_it():
    assert detection.framework_of(type("Agent", (), {"__module__": "agents.agent"})) is None


def test_functions_and_callable_objects_keep_their_bridge():
    class Shout:
        """Says it loudly."""

        def __call__(self, text: str) -> str:
            return text.upper()

    bridge = detection.bridge_for(Shout())
    assert isinstance(bridge, FunctionBridge)
    assert bridge.description == "Says it loudly."


def test_a_target_is_found_first_and_judged_afterwards():
    assert find_object("support", "sys:version_info") is sys.version_info
