"""`pilothouse audit`: the evidence of what was done here, taken out of a node and verified anywhere.

`export` talks to a node; `verify` and `prove` read a file and need neither node nor records nor settings.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from pilothouse.cli.audit_file import (
    PROOF,
    AuditInvalid,
    Verified,
    checkpoint_line,
    head_line,
    make_proof,
    read_notes,
    verify_export,
    verify_proof,
)
from pilothouse.cli.connect import DefaultGroup, connect, json_option, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.failure import FilesExist
from pilothouse.cli.progress import progress
from pilothouse.cli.show import on_one_line, show_fields, show_json, show_table
from pilothouse.client import Client

PAGE = 1000
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
key_option = click.option(
    "--key", "keys", multiple=True, metavar="KEY", help="A public key to trust, as `audit key` prints it."
)


@click.group(cls=DefaultGroup, short_help="Read the audit log, export and verify it.")
def audit() -> None:
    """Read the audit log of a node, export it, and verify an export anywhere. Without a command: list entries.

    \b
    Example:
      pilothouse audit export audit.jsonl
      pilothouse audit verify audit.jsonl
    """


@audit.command("list", short_help="Entries of the audit log.")
@click.option("--after", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="After this entry.")
@click.option("--limit", type=click.IntRange(1, PAGE), default=20, show_default=True, metavar="N", help="How many.")
@node_options
def list_entries(after: int, limit: int, url: str | None, is_json: bool) -> int:
    """Entries of the audit log, the oldest first.

    \b
    Example: pilothouse audit list --after 100
    """
    with connect(url) as client:
        page = client.read_audit(after=after, limit=limit)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = []
    for item in page.items:
        one: dict[str, Any] = msgspec.json.decode(item)
        seq, at, kind, about, by = (str(one.pop(name)) for name in ("seq", "at", "kind", "id", "by"))
        rows.append((seq, at, kind, by, on_one_line(f"{about} {msgspec.json.encode(one).decode() if one else ''}")))
    show_table(("SEQ", "AT", "KIND", "BY", "ABOUT"), rows, flexible="ABOUT")
    if page.next_cursor:
        click.echo(f"More:  --after {page.next_cursor}", err=True)
    return Exit.DONE


@audit.command("key", short_help="The public key of a node.")
@node_options
def show_key(url: str | None, is_json: bool) -> int:
    """The public key that verifies the checkpoints of a node. Give it to whoever verifies, by another way than the
    exports.

    \b
    Example: pilothouse audit key
    """
    with connect(url) as client:
        key = client.get_checkpoint().key
    if is_json:
        show_json({"key": key})
    else:
        click.echo(key)
    return Exit.DONE


@audit.command("export", short_help="Write the whole audit log to a file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@node_options
def export(file: Path, url: str | None, is_json: bool) -> int:
    """Write the audit log to FILE, with a signed checkpoint over all of it.

    \b
    Example: pilothouse audit export audit-$(date +%F).jsonl
    """
    if file.exists():
        raise FilesExist(folder=str(file.parent), names=file.name, hint="Choose a name that is not taken.")
    unfinished = file.with_name(file.name + ".part")
    with connect(url) as client:
        checkpoint = client.get_checkpoint()
        with unfinished.open("wb") as out, progress("Exporting") as tell:
            tenant = checkpoint.note.partition("\n")[0].rpartition("/")[2]
            out.write(head_line(tenant, checkpoint.key))
            for done, leaf in enumerate(_entries(client, checkpoint.size), 1):
                out.write(leaf + b"\n")
                tell(done, checkpoint.size)
            out.write(checkpoint_line(checkpoint.note))
    os.replace(unfinished, file)
    if is_json:
        show_json({"file": str(file), "entries": checkpoint.size, "key": checkpoint.key})
    else:
        click.echo(f"{checkpoint.size} entries are in {file}.")
        click.echo(f"Next:  pilothouse audit verify {file} --key {checkpoint.key}", err=True)
    return Exit.DONE


def _entries(client: Client, size: int) -> Iterator[bytes]:
    after = 0
    while after < size:
        page = client.read_audit(after=after, limit=min(PAGE, size - after))
        if not page.items:
            raise AuditInvalid(reason=f"the node has only {after} of the {size} entries that it signed")
        for item in page.items:
            after += 1
            yield bytes(item)


@audit.command("verify", short_help="Tell whether an export is whole.")
@click.argument("file", type=FILE)
@key_option
@click.option("--checkpoints", type=FILE, metavar="FILE", help="Checkpoints kept elsewhere, to compare with.")
@json_option
def verify(file: Path, keys: tuple[str, ...], checkpoints: Path | None, is_json: bool) -> int:
    """Tell whether the export (or the proof) in FILE is whole: nothing changed, taken out, added or moved. Exits with 0
    only then. Needs no node.

    \b
    Example: pilothouse audit verify audit.jsonl --key pilothouse+0a1b2c3d+AQ...
    """
    notes = [] if checkpoints is None else read_notes(checkpoints.read_text(encoding="utf-8"))
    with file.open("rb") as lines:
        first = lines.readline()
        lines.seek(0)
        if PROOF.encode() in first:
            found = verify_proof(msgspec.json.decode(lines.read()), keys)
        else:
            found = verify_export(iter(lines), keys, notes)
    _show_verified(found, is_json)
    return Exit.DONE


def _show_verified(found: Verified, is_json: bool) -> None:
    if is_json:
        show_json(found)
        return
    show_fields([
        ("entries", str(found.entries)), ("log", found.origin), ("root", found.root), ("signed by", found.key),
    ])  # fmt: skip
    click.echo("It is whole.")
    if not found.is_trusted:
        click.echo("The key was taken from the file itself. Name the one you trust with --key.", err=True)


@audit.command("prove", short_help="Prove one entry without the others.")
@click.argument("file", type=FILE)
@click.argument("seq", type=click.IntRange(1))
def prove(file: Path, seq: int) -> int:
    """Print a proof that the entry SEQ is in the log of the export FILE. Whoever gets it can `verify` it and learns
    nothing of the other entries.

    \b
    Example: pilothouse audit prove audit.jsonl 17 > entry-17.json
    """
    with file.open("rb") as lines:
        click.echo(msgspec.json.encode(make_proof(iter(lines), seq)).decode())
    return Exit.DONE
