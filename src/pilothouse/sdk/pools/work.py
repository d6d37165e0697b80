"""What happens in a process of a pool: find the function, run it, answer with its result as JSON and the digest of it.

The function is named and never sent: it must be importable there from the same source, and a module whose source
differs is refused before anything runs (I17). An answer never raises: whatever a pool itself raises tells of the pool.
"""

import asyncio
import hashlib
import importlib
import os
import pickle
from inspect import iscoroutine
from typing import Any

from msgspec import Struct

from pilothouse.sdk.agent import Definition
from pilothouse.sdk.schema import type_name, write_json
from pilothouse.sdk.scope import Scope, step_here


class Work(Struct):
    """`arguments`: (args, kwargs), pickled. `source`: the digest of the module's file."""

    module: str
    name: str
    source: str
    arguments: bytes
    step: str
    idempotency_key: str


class Outcome(Struct):
    """`output` with its `digest`; or `raised`, a pickled exception; or `refused`: why nothing was run."""

    output: bytes | None = None
    digest: str = ""
    raised: bytes | None = None
    refused: str = ""


class RemoteError(Exception):
    """What the function raised and cannot be sent: its type and text."""


class _Key:
    def __init__(self, key: str) -> None:
        self._key = key

    def idempotency_key_of(self, key: str) -> str:
        return self._key


def name_of(function: Any) -> tuple[str, str]:
    """(module, qualified name) of a function that other processes can import. Raises `ValueError`."""
    inner = function.function if isinstance(function, Definition) else function
    module, name = getattr(inner, "__module__", None), getattr(inner, "__qualname__", "")
    if not module or module == "__main__" or not name or "<" in name:
        raise ValueError(
            f"a step of a pool is a function of a module, which other processes can import; {name or function!r} is not"
        )
    return module, name


def source_of(module: str) -> str:
    """The digest of the file of a module that is imported; empty: it has none."""
    path = getattr(importlib.import_module(module), "__file__", None)
    if not isinstance(path, str) or not path.endswith(".py") or not os.path.exists(path):
        return ""
    with open(path, "rb") as file:
        return digest_of(file.read())


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def do_work(packed: bytes) -> Outcome:
    """Runs in a process of a pool. `packed` is pickled `Work`."""
    work: Work = pickle.loads(packed)
    try:
        found: Any = importlib.import_module(work.module)
        for part in work.name.split("."):
            found = getattr(found, part)
        if source_of(work.module) != work.source:
            return Outcome(refused=f"it has another source of {work.module}: bring it to the same release")
        args, kwargs = pickle.loads(work.arguments)
    except Exception as error:
        return Outcome(refused=f"{work.module}:{work.name} cannot be loaded there: {type_name(type(error))}: {error}")
    function = found.function if isinstance(found, Definition) else found
    token = step_here.set(Scope(_Key(work.idempotency_key), work.step, "step"))
    try:
        result = function(*args, **kwargs)
        output = write_json(asyncio.run(result) if iscoroutine(result) else result)
        return Outcome(output=output, digest=digest_of(output))
    except BaseException as error:
        return Outcome(raised=_packed(error))
    finally:
        step_here.reset(token)


def _packed(error: BaseException) -> bytes:
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
        return packed
    except Exception:
        return pickle.dumps(RemoteError(f"{type_name(type(error))}: {error}"))
