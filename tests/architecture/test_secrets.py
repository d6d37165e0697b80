"""What opens something is compared in a time that says nothing of it: by `hmac.compare_digest`, and never by `==`.

`==` stops at the first byte that differs, which whoever guesses can measure. A clock in a test could only show that by
chance, so the sources are read instead.
"""

import ast
import inspect

import pytest

from pilothouse.domain import principal
from tests.architecture.tree import SRC, name, python_files

SECRET = frozenset({"hash", "hash_of", "secret", "signature", "token"})


def words_of(node):
    """The last name of what is compared: of a variable, an attribute, or a function whose result it is."""
    if isinstance(node, ast.Call):
        node = node.func
    return {getattr(node, "attr", None), getattr(node, "id", None)}


def plain_compares(source):
    """The lines where something secret is compared by an operator."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(one, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for one in node.ops)
        and any(words_of(side) & SECRET for side in (node.left, *node.comparators))
    ]


def test_nothing_that_is_secret_is_compared_by_an_operator():
    found = {name(path): plain_compares(path.read_text(encoding="utf-8")) for path in python_files(SRC)}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "planted",
    ["key.hash == other", "other != key.hash", "hash_of(id, secret) == kept", "secret in kept", "shown.token == given"],
)
def test_the_check_finds_a_secret_that_is_compared_by_an_operator(planted):
    assert plain_compares(f"x = 1\nis_right = {planted}") == [2]


def test_the_secret_of_an_api_key_is_compared_by_compare_digest_with_what_is_kept_of_it():
    calls = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(inspect.getsource(principal.opens)))
        if isinstance(node, ast.Call)
    ]
    assert "hmac.compare_digest(hash_of(key.id, secret), key.hash)" in calls
