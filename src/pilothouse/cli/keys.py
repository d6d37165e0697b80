"""`pilothouse keys`: who may ask this deployment for what.

The first key is made in the records themselves, before a node listens on an address of other machines. From then on
the node makes them, and asks for one (PILOTHOUSE_KEY) itself.
"""

import os
from pathlib import Path
from typing import get_args

import click

from pilothouse.app import make_key
from pilothouse.cli.connect import DefaultGroup, SpanParam, connect, node_options, page_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import show_json, show_table, since
from pilothouse.domain.principal import PrincipalKind, Scope
from pilothouse.errors import RecordsLocked
from pilothouse.settings import load_settings


@click.group(cls=DefaultGroup, short_help="Make, list, rotate and revoke API keys.")
def keys() -> None:
    """Make, list, rotate and revoke API keys. Without a command: list them.

    \b
    Example:
      pilothouse keys create ada --kind human --scope "*"
      PILOTHOUSE_KEY=phk_... pilothouse keys list
    """


@keys.command("create", short_help="Make a key.")
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(get_args(PrincipalKind)), default="service", show_default=True, help="Who will use it."
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(get_args(Scope)),
    help="What it opens; may be given more than once.",
)
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="A role its principal has in reviews.")
@click.option("--expires", type=SpanParam(), metavar="SPAN", help="It counts so long, as in 90d.")
@click.option("--tenant", metavar="TENANT", help="For another tenant than yours, as an administrator.")
@node_options
def create(
    name: str, kind: PrincipalKind, scopes: tuple[str, ...], roles: tuple[str, ...], expires: float | None,
    tenant: str | None, url: str | None, is_json: bool,
) -> int:  # fmt: skip
    """Make a key for the principal NAME, and print it: this once. Without a node that runs here it is made in the
    records of this folder; that is how the first one comes about.

    \b
    Example: pilothouse keys create billing --scope runs:write --scope runs:read --expires 90d
    """
    text, id = "", ""
    if url is None and "PILOTHOUSE_URL" not in os.environ:
        settings = load_settings(os.environ, folder=Path.cwd())
        try:
            made = make_key(settings, name, kind, list(scopes), list(roles), expires, tenant)
            text, id = made.text, made.id
        except RecordsLocked:
            pass
    if not text:
        with connect(url) as client:
            new = client.create_key(
                name, kind=kind, scopes=list(scopes), roles=list(roles), expires_in_seconds=expires, tenant=tenant
            )
            text, id = new.text, new.key.id
    _tell(text, id, is_json)
    return Exit.DONE


def _tell(text: str, id: str, is_json: bool) -> None:
    if is_json:
        show_json({"id": id, "text": text})
    else:
        click.echo(text)
        click.echo("It is shown this once. Next:  export PILOTHOUSE_KEY=phk_...", err=True)


@keys.command("list", short_help="The keys there are.")
@page_options
@node_options
def list_keys(limit: int, cursor: str | None, url: str | None, is_json: bool) -> int:
    """The keys there are, the newest first. What they are is not shown.

    \b
    Example: pilothouse keys list
    """
    with connect(url) as client:
        page = client.list_keys(limit=limit, cursor=cursor)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = [
        (one.id, one.name, one.kind, one.state, since(one.created_at), " ".join([*one.scopes, *one.roles]))
        for one in page.items
    ]
    show_table(("KEY", "NAME", "KIND", "STATE", "AGE", "SCOPES AND ROLES"), rows, flexible="SCOPES AND ROLES")
    if page.next_cursor:
        click.echo(f"More:  --cursor {page.next_cursor}", err=True)
    return Exit.DONE


@keys.command("tenants", short_help="The tenants that have keys.")
@node_options
def list_tenants(url: str | None, is_json: bool) -> int:
    """The tenants that have keys, and how many count now. For an administrator: a person of the tenant `default` with
    the scope tenants:write.

    \b
    Example: pilothouse keys tenants
    """
    with connect(url) as client:
        page = client.list_tenants()
    if is_json:
        show_json(page)
        return Exit.DONE
    show_table(("TENANT", "KEYS"), [(one["name"], str(one["keys"])) for one in page["items"]])
    return Exit.DONE


@keys.command("rotate", short_help="Make a new key in the place of one.")
@click.argument("key")
@click.option(
    "--overlap",
    type=SpanParam(),
    default="1h",
    show_default=True,
    metavar="SPAN",
    help="The old key counts so much longer.",
)
@node_options
def rotate(key: str, overlap: float, url: str | None, is_json: bool) -> int:
    """Make a new key for the principal of KEY, and let the old one run out.

    \b
    Example: pilothouse keys rotate 0123456789abcdef --overlap 24h
    """
    with connect(url) as client:
        new = client.rotate_key(key, overlap_seconds=overlap)
    _tell(new.text, new.key.id, is_json)
    return Exit.DONE


@keys.command("revoke", short_help="Revoke a key, at once.")
@click.argument("key")
@node_options
def revoke(key: str, url: str | None, is_json: bool) -> int:
    """Revoke KEY: it opens nothing from now on.

    \b
    Example: pilothouse keys revoke 0123456789abcdef
    """
    with connect(url) as client:
        found = client.revoke_key(key)
    if is_json:
        show_json(found)
    else:
        click.echo(f"{found.id} ({found.name}) is revoked.")
    return Exit.DONE
