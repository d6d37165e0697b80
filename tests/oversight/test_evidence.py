"""I12: every transition has its entry, in the Change that it is part of, and a changed log does not verify.

The first half looks at every Change of a run that does everything; the second half does to an export what somebody
would do who wants to hide something.
"""

import json

import msgspec
import pytest
from msgspec.structs import replace

from pilothouse import Context, agent
from pilothouse.cli.audit_file import (
    AuditInvalid,
    checkpoint_line,
    head_line,
    make_proof,
    verify_export,
    verify_proof,
)
from pilothouse.domain.delivery import Receiver, Receivers
from pilothouse.domain.evidence import Checkpoint, leaf_hash, leaves_of, note_of, root_of, verifier_key
from pilothouse.engine import evidence, session
from pilothouse.engine.cancel import cancel_run
from pilothouse.engine.run import start_run, wait_started
from pilothouse.errors import Unsupported
from pilothouse.ports import change as c
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.security.signing import SigningKey
from pilothouse.testing import LocalNode
from tests.engine.agents import command
from tests.engine.scenario import Everything

MOVES = (
    c.InsertRun, c.KeepRun, c.FinishRun, c.EndIdleRun, c.EndLostRun, c.ParkRun, c.RequeueRun, c.RequestCancel,
    c.RememberCancel, c.InsertReview, c.CloseReview, c.WriteState, c.ForkSession, c.DropSession,
    c.TrimSession,
    c.SupersedeRun, c.SupersedeReview,
)  # fmt: skip
"""What must not become durable without an entry beside it."""


class Auditor:
    """Sees every Change of a node."""

    def __init__(self, node):
        self.silent, self.seen = [], set()
        submit = node.records.submit

        def look(change, done):
            kinds = {type(statement) for statement in change.statements}
            self.seen |= kinds & set(MOVES)
            if kinds & set(MOVES) and c.AppendAudit not in kinds:
                self.silent.append(kinds)
            submit(change, done)

        node.records.submit = look


@agent(mode="event")
async def ask(ctx: Context, text: str) -> str:
    return (await ctx.review(text)).verdict


@agent(mode="session")
async def chat(ctx: Context, text: str) -> str:
    ctx.session.state["last"] = text
    return text


@agent(keep="errors")
def breaks(text: str) -> str:
    raise ValueError(text)


async def entries_of(node, tenant="default"):
    segments = await evidence.read_audit(node.world, tenant, 0, 10_000)
    return [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]


@pytest.mark.slow
async def test_no_transition_becomes_durable_without_its_entry():
    everything = Everything()
    async with everything.node as node:
        auditor = Auditor(node)
        await everything.bring_to_end(await everything.take_in())
        assert auditor.silent == []
        assert auditor.seen >= {c.InsertRun, c.FinishRun, c.ParkRun, c.InsertReview, c.CloseReview}


async def test_what_is_done_from_outside_has_its_entry_too():
    async with LocalNode({"ask": ask, "chat": chat, "breaks": breaks}) as node:
        auditor = Auditor(node)
        await node.run("chat", "a", session="ann")
        await session.write_state(node.world, "default", "chat", "ann", b'{"x":1}', None, "key_1")
        await session.fork_session(node.world, "default", "chat", "ann", "bob", None, "key_1")
        await session.delete_session(node.world, "default", "chat", "bob", "key_1")
        run = await node.start("ask", "may I?")
        await node.wait_review(run)
        await node.cancel(run)
        await node.cancel("run_of_nobody")
        with pytest.raises(Exception):
            (await node.run("breaks", "now")).require()
        await node.settle()
        assert auditor.silent == []
        kinds = {one["kind"] for one in await entries_of(node)}
    assert kinds >= {
        "run.queued", "run.started", "run.succeeded", "run.cancelled", "session.edited",
        "session.forked", "session.deleted", "review.requested", "run.cancel_requested", "run.failed",
    }  # fmt: skip


async def test_a_question_that_ends_with_its_run_has_an_entry_with_who_ended_the_run_and_how():
    async with LocalNode({"ask": ask}) as node:
        before = await node.start("ask", "before?")
        await node.wait(before, "waiting")
        late = await node.start("ask", "late?", deadline=5)
        await node.wait(late, "waiting")
        asked = {one.run: one.id for one in await node.reviews()}
        await cancel_run(node.world, "default", before.id, "not needed", by="ann")
        await node.advance(seconds=6)
        assert (await node.get(late)).status == "failed"
        entries = [one for one in await entries_of(node) if one["kind"] == "review.cancelled"]
    assert [(one["id"], one["by"], one["run"], one["reason"]) for one in entries] == [
        (asked[before.id], "ann", before.id, "run.cancelled"),
        (asked[late.id], "node", late.id, "run.failed"),
    ]


async def test_the_auditor_of_these_tests_notices_a_transition_without_an_entry():
    async with LocalNode({"chat": chat}) as node:
        auditor = Auditor(node)
        await node.run("chat", "a", session="ann")
        drop = c.DropSession("default", "ann", "chat")
        await node.records.commit(c.Change((drop,)))
        assert auditor.silent == [{c.DropSession}]


async def test_a_run_that_is_not_kept_writes_nothing():
    @agent
    def echo(text: str) -> str:
        return text

    async with LocalNode({"echo": echo}) as node:
        before = len(await entries_of(node))
        started = await wait_started(node.world, await start_run(node.world, command("echo")), None)
        assert started.status == "succeeded"
        assert len(await entries_of(node)) == before


async def test_no_payload_is_in_the_log_and_the_digest_of_one_can_be_checked_while_its_key_is_there():
    async with LocalNode({"chat": chat}) as node:
        asked = replace(command("chat", b'"my illness"', session="ann@example.org"), subject="ann")
        run = await wait_started(node.world, await start_run(node.world, asked), None)
        assert run.status == "succeeded"
        found = await entries_of(node)
        assert not {"my illness", "ann@example.org"} & {str(value) for one in found for value in one.values()}
        queued = next(one for one in found if one["kind"] == "run.queued")
        assert queued["input"] == node.world.seals.digest("default", "ann", b'"my illness"')
        before = [leaf async for leaf in leaves(node)]
        (drop,) = await evidence.seal_dropped(node.world, "default", "ann")
        await node.world.records.commit(c.Change((drop,)))
        assert node.world.seals.digest("default", "ann", b'"my illness"') is None
        assert [leaf async for leaf in leaves(node)] == before
        node.world.signer = SigningKey("pilothouse")
        await evidence.make_checkpoint(node.world, "default")


async def leaves(node):
    for segment in await evidence.read_audit(node.world, "default", 0, 10_000):
        for _, leaf in leaves_of(segment):
            yield leaf


async def test_a_checkpoint_goes_on_from_the_one_before_also_after_a_restart():
    key = SigningKey("pilothouse")
    async with LocalNode({"chat": chat}) as node:
        with pytest.raises(Unsupported):
            await evidence.make_checkpoint(node.world, "default")
        notes = []
        for turn in range(3):
            node.world.signer = key
            await node.run("chat", str(turn), session="ann")
            notes.append(await evidence.make_checkpoint(node.world, "default"))
            assert await evidence.make_checkpoint(node.world, "default") == notes[-1]
            await node.restart()
        export = [leaf + b"\n" async for leaf in leaves(node)]
        sizes = [int(note.split("\n")[1]) for note in notes]
        assert sizes == sorted(set(sizes))
        lines = [head_line("default", verifier_key(key.name, key.public)), *export[: sizes[-1]]]
        verify_export(iter([*lines, checkpoint_line(notes[-1])]), [], notes)


async def test_every_witness_hears_of_a_new_checkpoint_once():
    class Hears:
        def __init__(self):
            self.notes = []

        async def publish(self, tenant, note):
            self.notes.append((tenant, note))

    hears = Hears()
    async with LocalNode({"chat": chat}) as node:
        node.world.signer, node.world.witnesses = SigningKey("pilothouse"), (hears,)
        await node.run("chat", "a", session="ann")
        await evidence.checkpoint_all(node.world)
        await evidence.checkpoint_all(node.world)
        assert len(hears.notes) == 1


# --- what somebody might do to an export ------------------------------------------------------------------------------

KEY = SigningKey("pilothouse")
PUBLIC = verifier_key(KEY.name, KEY.public)


def signed(entries, key=KEY, tenant="default"):
    """A whole export over these leaves."""
    checkpoint = Checkpoint(f"{key.name}/{tenant}", len(entries), root_of([leaf_hash(one) for one in entries]))
    note = note_of(checkpoint, key.name, key.public, key.sign(checkpoint.text().encode()))
    head = head_line(tenant, verifier_key(key.name, key.public))
    return [head, *(one + b"\n" for one in entries), checkpoint_line(note)]


def note_in(lines):
    return msgspec.json.decode(lines[-1])["checkpoint"]


ENTRIES = [b'{"seq":%d,"kind":"run.queued","id":"run_%d"}' % (n, n) for n in range(1, 22)]


def test_a_whole_export_verifies_with_the_public_key_only():
    found = verify_export(iter(signed(ENTRIES)), [PUBLIC], [note_in(signed(ENTRIES[:5]))])
    assert (found.entries, found.is_trusted, found.checkpoints) == (21, True, 2)


def edited(lines):
    return [*lines[:5], lines[5].replace(b"queued", b"failed"), *lines[6:]]


def deleted(lines):
    return [*lines[:5], *lines[6:]]


def deleted_and_renumbered(lines):
    rest = [line.replace(b'"seq":%d,' % n, b'"seq":%d,' % (n - 1)) for n, line in enumerate(lines[6:-1], 6)]
    return [*lines[:5], *rest, lines[-1]]


def reordered(lines):
    return [*lines[:5], lines[6], lines[5], *lines[7:]]


def reordered_and_renumbered(lines):
    swapped = [lines[6].replace(b'"seq":6,', b'"seq":5,'), lines[5].replace(b'"seq":5,', b'"seq":6,')]
    return [*lines[:5], *swapped, *lines[7:]]


def added(lines):
    return [*lines[:-1], b'{"seq":22,"kind":"run.queued","id":"x"}\n', lines[-1]]


def truncated(lines):
    return lines[:10]


def truncated_before_the_checkpoint(lines):
    return [*lines[:10], lines[-1]]


def added_behind_the_checkpoint(lines):
    return [*lines, b'{"seq":22,"kind":"run.queued","id":"x"}\n']


def signature_changed(lines):
    note = note_in(lines)
    at = note.rindex(" ") + 40
    return [*lines[:-1], checkpoint_line(note[:at] + ("A" if note[at] != "A" else "B") + note[at + 1 :])]


def of_another_tenant(lines):
    return [head_line("other", PUBLIC), *lines[1:]]


def signed_by_another(lines):
    return signed(ENTRIES, SigningKey("pilothouse"))


def emptied(lines):
    return []


@pytest.mark.parametrize(
    "forge",
    [
        edited, deleted, deleted_and_renumbered, reordered, reordered_and_renumbered, added, truncated,
        truncated_before_the_checkpoint, added_behind_the_checkpoint, signature_changed, of_another_tenant,
        signed_by_another, emptied,
    ],
)  # fmt: skip
def test_a_changed_export_does_not_verify(forge):
    with pytest.raises(AuditInvalid):
        verify_export(iter(forge(signed(ENTRIES))), [PUBLIC], [])


def test_an_end_that_was_cut_off_and_signed_before_is_found_by_a_checkpoint_kept_elsewhere():
    kept = note_in(signed(ENTRIES))
    with pytest.raises(AuditInvalid, match="kept elsewhere is over 21"):
        verify_export(iter(signed(ENTRIES[:10])), [PUBLIC], [kept])


def test_a_fork_is_found_by_a_checkpoint_kept_elsewhere():
    kept = note_in(signed(ENTRIES[:10]))
    other = [ENTRIES[0].replace(b"queued", b"failed"), *ENTRIES[1:]]
    with pytest.raises(AuditInvalid, match="first 10 entries"):
        verify_export(iter(signed(other)), [PUBLIC], [kept])


def test_without_a_key_the_one_of_the_file_is_used_and_said_so():
    assert not verify_export(iter(signed(ENTRIES)), [], []).is_trusted


@pytest.mark.parametrize("seq", [1, 7, 16, 21])
def test_one_entry_is_proven_without_the_others(seq):
    proof = make_proof(iter(signed(ENTRIES)), seq)
    assert verify_proof(proof, [PUBLIC]).is_trusted
    assert all(other.decode() not in json.dumps(proof) for other in ENTRIES if other != ENTRIES[seq - 1])


@pytest.mark.parametrize(
    "change",
    [
        {"leaf": ENTRIES[3].decode()},
        {"seq": 8},
        {"path": []},
        {"checkpoint": note_in(signed(ENTRIES[:10]))},
    ],
)
def test_a_changed_proof_does_not_verify(change):
    proof = make_proof(iter(signed(ENTRIES)), 7)
    with pytest.raises(AuditInvalid):
        verify_proof(proof | change, [PUBLIC])


def test_an_entry_that_is_not_there_cannot_be_proven():
    with pytest.raises(AuditInvalid, match="no entry 22"):
        make_proof(iter(signed(ENTRIES)), 22)


async def test_a_receiver_gets_each_checkpoint_once_in_the_change_that_keeps_it_here():
    async with LocalNode({"ask": ask}) as node:
        node.world.signer = SigningKey("log")
        node.world.receivers = Receivers((Receiver(name="notary", events=("audit.checkpoint",)),), signs=True)
        changes: list[set[type]] = []
        submit = node.records.submit

        def look(change, done):
            changes.append({type(statement) for statement in change.statements})
            submit(change, done)

        node.records.submit = look  # type: ignore[method-assign]
        await node.start("ask", "may I?")
        await node.settle()
        note = await evidence.make_checkpoint(node.world, "default")
        assert await evidence.make_checkpoint(node.world, "default") == note
        told, _ = await node.kept.list_deliveries("default", DeliveryFilter(), None, 10)
        (body,) = [json.loads(one.body) for one in told]
        assert (body["type"], body["data"]["checkpoint"], body["data"]["tenant"]) == (
            "audit.checkpoint",
            note,
            "default",
        )
        assert body["data"]["size"] == int(note.splitlines()[1])
        assert {c.WriteDocument, c.InsertDelivery} in changes


async def test_a_checkpoint_is_told_to_nobody_who_did_not_ask_for_it():
    async with LocalNode({"ask": ask}) as node:
        node.world.signer = SigningKey("log")
        node.world.receivers = Receivers((Receiver(name="shop"),), signs=True)
        await node.start("ask", "may I?")
        await node.settle()
        await evidence.make_checkpoint(node.world, "default")
        assert (await node.kept.list_deliveries("default", DeliveryFilter(), None, 10))[0] == []
