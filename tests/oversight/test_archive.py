"""Signed checkpoints as objects of a store (a real server of S3): each once, none over another, and none lost."""

import pytest

from pilothouse import Context, agent
from pilothouse.cli.audit_file import AuditInvalid, checkpoint_line, head_line, read_notes, verify_export
from pilothouse.domain.evidence import Checkpoint, leaves_of, note_of, verifier_key
from pilothouse.engine import evidence
from pilothouse.errors import RecordsUnavailable
from pilothouse.security.signing import SigningKey
from pilothouse.security.witness import ObjectArchive
from pilothouse.settings import Flag
from pilothouse.storage.blobs.objects import ObjectBlobs
from pilothouse.testing import LocalNode
from tests.cli.served import CommandLine
from tests.objects import bucket, s3
from tests.server.node import serve_node

__all__ = ["bucket", "s3"]

pytestmark = pytest.mark.slow

KEY = SigningKey("pilothouse")
PUBLIC = verifier_key(KEY.name, KEY.public)


@agent(mode="session")
async def chat(ctx: Context, text: str) -> str:
    return text


@pytest.fixture
def objects(bucket):
    return ObjectBlobs(f"s3://{bucket}/kept")


@pytest.fixture
def away(monkeypatch):
    """A store that cannot be reached."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    return ObjectBlobs("s3://bucket")


def archived(node, store):
    node.world.signer, node.world.archive = KEY, ObjectArchive(store)


async def grow(node):
    """A checkpoint over more than the last one."""
    await node.run("chat", "hello", session="ann")
    return await evidence.make_checkpoint(node.world, "default")


def size_of(note):
    return int(note.split("\n")[1])


async def names_of(objects):
    return await objects.list_old(2**52, "", 1000)


async def text_of(objects):
    return "".join([(await objects.get(name)).decode() for name in await names_of(objects)])


async def export_of(node, note):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    found = [leaf + b"\n" for segment in segments for _, leaf in leaves_of(segment)]
    return [head_line("default", PUBLIC), *found[: size_of(note)], checkpoint_line(note)]


async def test_each_checkpoint_is_an_object_whose_text_verifies_an_export_on_the_command_line(objects, tmp_path):
    async with LocalNode({"chat": chat}) as node:
        archived(node, objects)
        notes = []
        for _ in range(3):
            notes.append(await grow(node))
            assert await evidence.archive_all(node.world) == []
            assert await evidence.archive_all(node.world) == []
        assert await names_of(objects) == [f"pilothouse/default/{size_of(note):012}.json" for note in notes]
        kept = await text_of(objects)
        assert read_notes(kept) == notes
        cut = await export_of(node, notes[0])
        (tmp_path / "whole.jsonl").write_bytes(b"".join(await export_of(node, notes[-1])))
        (tmp_path / "cut.jsonl").write_bytes(b"".join(cut))
        (tmp_path / "kept.jsonl").write_text(kept)
    with pytest.raises(AuditInvalid, match="a checkpoint kept elsewhere is over"):
        verify_export(iter(cut), [PUBLIC], notes)
    verify = CommandLine(tmp_path)
    wanted = ("--key", PUBLIC, "--checkpoints", "kept.jsonl")
    assert "It is whole." in verify("audit", "verify", "whole.jsonl", *wanted).stdout
    assert "a checkpoint kept elsewhere is over" in verify("audit", "verify", "cut.jsonl", *wanted).stderr


async def test_the_same_checkpoint_once_more_is_no_fault_and_another_one_in_its_place_is_refused(objects):
    archive = ObjectArchive(objects)
    first, other = (signed(bytes([root]) * 32) for root in (1, 2))
    assert await archive.keep(first)
    assert await archive.keep(first)
    assert not await archive.keep(other)
    assert read_notes(await text_of(objects)) == [first]


def signed(root, size=7):
    checkpoint = Checkpoint("pilothouse/default", size, root)
    return note_of(checkpoint, KEY.name, KEY.public, KEY.sign(checkpoint.text().encode()))


async def test_a_store_that_is_away_stops_nothing_and_gets_what_it_is_owed_later_also_after_a_restart(objects, away):
    async with LocalNode({"chat": chat}) as node:
        archived(node, away)
        notes = [await grow(node), await grow(node)]
        with pytest.raises(RecordsUnavailable, match="object store"):
            await evidence.archive_all(node.world)
        await node.restart()
        archived(node, objects)
        notes.append(await grow(node))
        assert await evidence.archive_all(node.world) == []
        assert read_notes(await text_of(objects)) == notes


async def test_only_the_newest_are_owed_to_a_store_that_stays_away(objects, monkeypatch):
    monkeypatch.setattr(evidence, "OWED", 2)
    async with LocalNode({"chat": chat}) as node:
        archived(node, objects)
        notes = [await grow(node) for _ in range(4)]
        assert await evidence.archive_all(node.world) == []
        assert read_notes(await text_of(objects)) == notes[2:]


async def test_a_second_history_is_told_once_never_written_over_the_first_and_holds_nothing_up(objects):
    async with LocalNode({"chat": chat}) as node:
        archived(node, objects)
        note = await grow(node)
        first = signed(bytes(32), size_of(note))
        assert await node.world.archive.keep(first)
        (told,) = await evidence.archive_all(node.world)
        assert f"pilothouse/default over {size_of(note)} entries" in told
        assert await evidence.archive_all(node.world) == []
        after = await grow(node)
        assert await evidence.archive_all(node.world) == []
        assert read_notes(await text_of(objects)) == [first, after]
        with pytest.raises(AuditInvalid, match="not those of a checkpoint kept elsewhere"):
            verify_export(iter(await export_of(node, after)), [PUBLIC], [first])


async def test_a_node_that_makes_no_objects_owes_none():
    async with LocalNode({"chat": chat}) as node:
        node.world.signer = KEY
        await grow(node)
        kept = await node.world.records.get_document("default", evidence.CHECKPOINT)
        assert b'"owed":[]' in kept.body


def test_a_node_archives_where_its_settings_say(tmp_path):
    folder = tmp_path / "kept"
    flag = Flag("audit.checkpoint_url", "checkpoint_url", f"file://{folder}")
    with serve_node(tmp_path, (flag,)) as served:
        served.post("diary", "rain", session="ann")
        note = served.http.get("/v1/audit/checkpoint").json()["note"]
        served.do(served.node.loops.attest_round())
        (file,) = folder.glob(f"pilothouse/default/{size_of(note):012}.json")
        assert read_notes(file.read_text()) == [note]
