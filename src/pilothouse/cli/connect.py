"""What commands that talk to a node share: where it is, whether programs read the answer, and text that may be JSON.

The address is the one of --url, else of PILOTHOUSE_URL, else the one a node started here would have. Settings are read
only when nothing else tells the address, so that a broken file does not keep anybody from a distant node.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import Raw

from pilothouse.settings import load_settings

if TYPE_CHECKING:
    from pilothouse.client import Client

F = TypeVar("F", bound=Callable[..., Any])

INPUT_LIMIT = 256 * 1024 * 1024
"""Bytes of one input; a node allows less."""

PAGE_LIMIT = 200
"""What a node gives at once."""

json_option = click.option("--json", "is_json", is_flag=True, help="Print JSON, for programs.")
url_option = click.option("--url", metavar="URL", help="Address of the node. [default: as the settings say]")


def node_options(command: F) -> F:
    """--url and --json."""
    return url_option(json_option(command))


def page_options(command: F) -> F:
    """--limit and --cursor."""
    limit = click.option(
        "--limit", type=click.IntRange(1, PAGE_LIMIT), default=20, show_default=True, metavar="N", help="How many."
    )
    cursor = click.option("--cursor", metavar="CURSOR", help="Go on where the page before ended.")
    return limit(cursor(command))


def connect(url: str | None) -> "Client":
    """A client of the node that the person means."""
    from pilothouse.client import Client  # a node shares this file's options, and need not hold a client in memory

    address = url or os.environ.get("PILOTHOUSE_URL") or load_settings(os.environ, folder=Path.cwd()).url
    key = os.environ.get("PILOTHOUSE_KEY") or None
    return Client(address if "://" in address else f"http://{address}", key=key)


def read_input(text: str | None, *, is_text: bool = False) -> Any:
    """An INPUT argument as a value: JSON when it reads as JSON, else the text itself. `-` is stdin, `@name` a file;
    what they hold is read alike. `is_text`: never as JSON."""
    if text is None:
        return None
    if text == "-":
        text = _decode(sys.stdin.buffer.read(INPUT_LIMIT + 1), "stdin")
    elif text.startswith("@"):
        text = _decode(_read_file(text[1:]), text[1:])
    else:
        text = _decode(os.fsencode(text), "the input")
    if is_text:
        return text
    try:
        return read_json(text)[0]
    except ValueError:
        return text


def read_json(text: str) -> tuple[Raw, Any]:
    """A strict JSON document as it was written, and as a value. What was written travels: a number keeps its digits.
    Raises ValueError."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        return Raw(text.encode()), json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _read_file(name: str) -> bytes:
    try:
        with Path(name).expanduser().open("rb") as file:
            return file.read(INPUT_LIMIT + 1)
    except OSError as error:
        raise click.BadParameter(f"{name} cannot be read ({(error.strerror or 'error').lower()}).") from None


def _decode(content: bytes, name: str) -> str:
    if len(content) > INPUT_LIMIT:
        raise click.BadParameter(f"{name} is larger than {INPUT_LIMIT} bytes.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.BadParameter(f"{name} is not UTF-8 text.") from None


class JsonParam(click.ParamType[Any]):
    """An option whose value is a JSON document, sent as it was written. `shape` dict: only {...}."""

    name = "json"

    def __init__(self, shape: type[object] = object) -> None:
        self.shape = shape

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            written, parsed = read_json(value)
        except ValueError:
            self.fail(f"{value!r} is not JSON; a text is written as '\"text\"'.", param, ctx)
        if not isinstance(parsed, self.shape):
            self.fail(f"{value!r} is not a JSON object, as in '{{\"key\": 1}}'.", param, ctx)
        return written


SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)\Z")
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class SpanParam(click.ParamType[float]):
    """A span as people write it: 90d, 12h, 30m, 45s. Its value is seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = SPAN.match(str(value))
        if found is None:
            self.fail(f"{value!r} is no span; write it as 90d, 12h, 30m or 45s.", param, ctx)
        return float(found[1]) * SECONDS[found[2]]


class DefaultGroup(click.Group):
    """A group whose first word may be left out: without one of its commands, `default` is meant."""

    default = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h")):
            args = [self.default, *args]
        return super().parse_args(ctx, args)
