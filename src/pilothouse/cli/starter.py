"""The files of a new project, as `pilothouse init` writes them: one agent for each execution model, and a test.

They are texts and no package files, since they belong to the person who gets them. A test makes the project, runs its
tests and its agents, so what a newcomer sees first is never broken.
"""

OPTIONAL = frozenset({"README.md", ".gitignore"})
"""What a folder may have already: it is left as it is."""

FILES: dict[str, str] = {
    "pilothouse.toml": """\
# The settings of this node. `pilothouse settings` prints every one with where it came from.

[server]
host = "127.0.0.1"
port = 8700

[records]
url = "sqlite:///pilothouse.db"

[agents.echo]
target = "agents:echo"

[agents.diary]
target = "agents:diary"

[agents.digest]
target = "agents:digest"
""",
    "agents.py": '''\
"""The agents of this project: one for each execution model. pilothouse.toml names them."""

from collections import Counter

from pilothouse import Context, agent


@agent
def echo(message: str) -> str:
    """Says what it hears. Nothing is kept: the caller waits for the answer."""
    return message


@agent(mode="session")
async def diary(ctx: Context, note: str) -> str:
    """Remembers what was noted before, for each session on its own."""
    notes = ctx.session.state.setdefault("notes", [])
    notes.append(note)
    return f"{len(notes)} noted; the first was: {notes[0]}"


@agent(mode="event")
async def digest(ctx: Context, text: str) -> dict[str, int]:
    """Counts the words of a text in the background. Each paragraph is a step: once counted, it is never counted again,
    even when the node is killed in between."""
    total: Counter[str] = Counter()
    for paragraph in text.split("\\n\\n"):
        total.update(await ctx.step(count_words, paragraph))
        await ctx.emit(f"{total.total()} words so far\\n")
    return dict(total.most_common(3))


def count_words(paragraph: str) -> dict[str, int]:
    return dict(Counter(paragraph.lower().split()))
''',
    "tests/test_agents.py": '''\
"""An agent is a plain function, and so is a step: test them by calling them."""

from agents import count_words, echo


def test_echo_says_what_it_hears():
    assert echo("Hello") == "Hello"


def test_words_are_counted_whatever_their_case():
    assert count_words("To be or not to be") == {"to": 2, "be": 2, "or": 1, "not": 1}
''',
    "pytest.ini": """\
[pytest]
pythonpath = .
testpaths = tests
""",
    ".gitignore": """\
pilothouse.db*
__pycache__/
.pytest_cache/
.venv/
""",
    "README.md": """\
# Agents on Pilothouse

    pilothouse dev                                  # runs them here, again on every change
    pilothouse run echo "Hello"                     # stateless: the caller waits, nothing is remembered
    pilothouse run diary "Rain" --session ann       # session: ann's turns share a memory
    pilothouse run digest @README.md --text         # event: a run of its own, step by step
    pilothouse runs watch                           # what is going on

    pip install pytest && python -m pytest          # tests the agents without a node
    pilothouse doctor                               # what is wrong here, and what to do
    pilothouse serve                                # for other people

The agents are in `agents.py`, the settings in `pilothouse.toml`.
""",
}
