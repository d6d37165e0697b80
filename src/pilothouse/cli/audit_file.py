"""An export of the audit log as a file, and whether it is whole: with public keys only, on any machine.

The first line says what it is, then each entry as the bytes that are hashed, and last the signed checkpoint over all of
them. An entry that was changed, taken out, added or moved gives another root; an end that was cut off lacks entries
of the checkpoint. A file that was cut off and given an older checkpoint, or another history under the same key, is
found by a checkpoint that was kept elsewhere. Read line by line: a log of any size needs no more memory than its tree.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from pilothouse.domain.evidence import (
    Checkpoint,
    Frontier,
    inclusion_path,
    key_id,
    leaf_hash,
    read_note,
    read_verifier_key,
    root_from_path,
)
from pilothouse.errors import PilothouseError
from pilothouse.security.signing import is_signed_by

FORMAT = "pilothouse-audit/1"
PROOF = "pilothouse-audit-proof/1"
LINE_LIMIT = 1024 * 1024


class AuditInvalid(PilothouseError):
    """The audit log is not whole: {reason}."""

    code = "audit_invalid"
    hint_text = "Keep the file as it is, and compare it with a fresh export and with the checkpoints kept elsewhere."


class Head(Struct):
    """The first line. `key` is who signed, as the file itself says."""

    format: str
    tenant: str
    key: str


class Verified(Struct):
    """What was found. `is_trusted`: the key was given by whoever verifies, not taken from the file."""

    entries: int
    origin: str
    root: str
    key: str
    is_trusted: bool
    checkpoints: int


def head_line(tenant: str, key: str) -> bytes:
    return msgspec.json.encode(Head(FORMAT, tenant, key)) + b"\n"


def checkpoint_line(note: str) -> bytes:
    return msgspec.json.encode({"checkpoint": note}) + b"\n"


def read_notes(text: str) -> list[str]:
    """Notes of a file with a checkpoint on each line, or of one that is a note itself."""
    if not text.lstrip().startswith("{"):
        return [text]
    return [msgspec.json.decode(line)["checkpoint"] for line in text.splitlines() if line.strip()]


def signed_checkpoint(note: str, keys: Iterable[str]) -> Checkpoint:
    """The checkpoint of a note that one of the keys has signed. Raises `AuditInvalid`."""
    try:
        checkpoint, signatures = read_note(note)
    except ValueError as error:
        raise AuditInvalid(reason=str(error)) from None
    for key in keys:
        name, public = read_verifier_key(key)
        for one in signatures:
            if (one.name, one.key_id) == (name, key_id(name, public)):
                if is_signed_by(public, checkpoint.text().encode(), one.value):
                    return checkpoint
                raise AuditInvalid(reason=f"the signature of the checkpoint over {checkpoint.size} entries is false")
    raise AuditInvalid(
        reason=f"the checkpoint over {checkpoint.size} entries is not signed by any of the keys",
        hint="Give the public key of the node with --key; `pilothouse audit key` prints it there.",
    )


def verify_export(lines: Iterator[bytes], keys: Sequence[str], notes: Sequence[str]) -> Verified:
    """Whether the export is whole and agrees with every checkpoint of `notes`. Raises `AuditInvalid`."""
    head = _head(next(lines, b""))
    trusted = list(keys) or [head.key]
    tree, wanted = Frontier(), _by_size([signed_checkpoint(note, trusted) for note in notes])
    roots: dict[int, bytes] = {0: tree.root()}
    last: str | None = None
    for line in lines:
        if last is not None:
            raise AuditInvalid(reason="there is something after the checkpoint that ends it")
        leaf = line.rstrip(b"\n")
        if leaf.startswith(b'{"checkpoint":'):
            last = _decoded(leaf)["checkpoint"]
            continue
        if not leaf.startswith(b'{"seq":%d,' % (tree.size + 1)):
            raise AuditInvalid(reason=f"entry {tree.size + 1} is missing, or is not in its place")
        tree.append(leaf_hash(leaf))
        if tree.size in wanted:
            roots[tree.size] = tree.root()
    if last is None:
        raise AuditInvalid(reason="its end is missing: no checkpoint follows the entries")
    end = signed_checkpoint(last, trusted)
    _compare_end(end, tree, head)
    for size, found in wanted.items():
        for one in found:
            _compare_kept(one, roots.get(size), end)
    return Verified(tree.size, end.origin, end.root.hex(), trusted[0], bool(keys), 1 + len(notes))


def _head(line: bytes) -> Head:
    try:
        head = msgspec.json.decode(line, type=Head)
        read_verifier_key(head.key)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        head = None
    if head is None or head.format != FORMAT:
        raise AuditInvalid(reason="this is not an export of the audit log", hint="`pilothouse audit export` makes one.")
    return head


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise AuditInvalid(reason="a line of it is not JSON") from None


def _by_size(checkpoints: Iterable[Checkpoint]) -> dict[int, list[Checkpoint]]:
    found: dict[int, list[Checkpoint]] = {}
    for one in checkpoints:
        found.setdefault(one.size, []).append(one)
    return found


def _compare_end(end: Checkpoint, tree: Frontier, head: Head) -> None:
    if end.size != tree.size:
        reason = f"it has {tree.size} entries, and its checkpoint is over {end.size}"
    elif end.root != tree.root():
        reason = "an entry was changed: the entries do not have the root that was signed"
    elif end.origin.rpartition("/")[2] != head.tenant:
        reason = f"its checkpoint is of another log, {end.origin}"
    else:
        return
    raise AuditInvalid(reason=reason)


def _compare_kept(kept: Checkpoint, root: bytes | None, end: Checkpoint) -> None:
    if kept.origin != end.origin:
        return  # a file of checkpoints may hold those of other tenants
    if root is None:
        raise AuditInvalid(reason=f"it has {end.size} entries, and a checkpoint kept elsewhere is over {kept.size}")
    if root != kept.root:
        raise AuditInvalid(reason=f"its first {kept.size} entries are not those of a checkpoint kept elsewhere")


# --- one entry --------------------------------------------------------------------------------------------------------


def make_proof(lines: Iterator[bytes], seq: int) -> dict[str, Any]:
    """What proves one entry of an export without the others. Raises `AuditInvalid`."""
    head = _head(next(lines, b""))
    hashes: list[bytes] = []
    leaf, note = None, None
    for line in lines:
        one = line.rstrip(b"\n")
        if one.startswith(b'{"checkpoint":'):
            note = _decoded(one)["checkpoint"]
            continue
        hashes.append(leaf_hash(one))
        if len(hashes) == seq:
            leaf = one
    if leaf is None or note is None:
        raise AuditInvalid(reason=f"it has no entry {seq}", hint=f"Its entries are 1 to {len(hashes)}.")
    path = [one.hex() for one in inclusion_path(hashes, seq - 1)]
    return {
        "format": PROOF, "tenant": head.tenant, "key": head.key, "seq": seq, "leaf": leaf.decode(), "path": path,
        "checkpoint": note,
    }  # fmt: skip


def verify_proof(proof: dict[str, Any], keys: Sequence[str]) -> Verified:
    """Whether the entry of a proof is in the log that its checkpoint is over. Raises `AuditInvalid`."""
    trusted = list(keys) or [proof["key"]]
    checkpoint = signed_checkpoint(proof["checkpoint"], trusted)
    path = [bytes.fromhex(one) for one in proof["path"]]
    root = root_from_path(proof["seq"] - 1, checkpoint.size, leaf_hash(proof["leaf"].encode()), path)
    if root != checkpoint.root or not proof["leaf"].startswith(f'{{"seq":{proof["seq"]},'):
        raise AuditInvalid(reason=f"the entry {proof['seq']} of this proof is not in the log that was signed")
    return Verified(1, checkpoint.origin, checkpoint.root.hex(), trusted[0], bool(keys), 1)
