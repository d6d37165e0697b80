"""Evidence: the audit log of a tenant as a Merkle tree, the checkpoints that commit to it, and how both are verified.

The tree is that of RFC 6962 (section 2.1): a leaf is the exact bytes of an entry, so nothing in an entry, its number or
its place can change without another root. A checkpoint is text as C2SP tlog-checkpoint has it (origin, size, root),
signed as a C2SP signed note; whoever keeps one outside of the node notices an edit, a removal, a reordering, a cut end
and a second history (I12). Here is only what can be computed: keys and signatures are passed in.
"""

import hashlib
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_SIZE = 32


class AuditSegment(Struct, frozen=True):
    """Entries of one tenant that were kept together: the number of the first, how many, and one line for each."""

    seq: int
    count: int
    lines: bytes


def leaf_of(seq: int, entry: bytes) -> bytes:
    """The entry with its number, as it is shown, exported and hashed. `entry` is a JSON object that is not empty."""
    return b'{"seq":%d,%b' % (seq, entry[1:])


def leaves_of(segment: AuditSegment, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """(number, leaf) of the entries of a segment with a number over `after`."""
    for number, entry in enumerate(segment.lines.split(b"\n"), segment.seq):
        if number > after:
            yield number, leaf_of(number, entry)


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows, as the roots of its full subtrees, the largest first: 32 bytes for each set bit of its
    size. `pack` and `unpack` are inverse."""

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)

    def append(self, hashed: bytes) -> None:
        """Adds a leaf by its hash."""
        size = self.size
        while size & 1:
            hashed = node_hash(self._roots.pop(), hashed)
            size >>= 1
        self._roots.append(hashed)
        self.size += 1

    def root(self) -> bytes:
        if not self._roots:
            return EMPTY_ROOT
        hashed = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            hashed = node_hash(left, hashed)
        return hashed

    def pack(self) -> bytes:
        return b"".join(self._roots)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> "Frontier":
        """Raises ValueError for what `pack` cannot have given for this size."""
        if size < 0 or len(packed) != HASH_SIZE * size.bit_count():
            raise ValueError("this is not the frontier of a tree of that size")
        return cls(size, (packed[at : at + HASH_SIZE] for at in range(0, len(packed), HASH_SIZE)))


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (RFC 6962, 2.1)."""
    frontier = Frontier()
    for hashed in hashes:
        frontier.append(hashed)
    return frontier.root()


def inclusion_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf `index` (from 0) in the tree over `hashes` (RFC 6962, 2.1.1)."""
    if not 0 <= index < len(hashes):
        raise ValueError(f"a tree of {len(hashes)} leaves has no leaf {index}")
    path: list[bytes] = []
    low, high = 0, len(hashes)
    while high - low > 1:
        split = low + (1 << ((high - low - 1).bit_length() - 1))
        if index < split:
            path.append(root_of(hashes[split:high]))
            high = split
        else:
            path.append(root_of(hashes[low:split]))
            low = split
    return path[::-1]


def root_from_path(index: int, size: int, hashed: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root that the path leads to (RFC 9162, 2.1.3.2); None when it is no path for that place."""
    if not 0 <= index < size:
        return None
    at, last = index, size - 1
    for sibling in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            hashed = node_hash(sibling, hashed)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            hashed = node_hash(hashed, sibling)
        at >>= 1
        last >>= 1
    return hashed if last == 0 else None


# --- checkpoints ------------------------------------------------------------------------------------------------------


class Checkpoint(Struct, frozen=True):
    """What a signed note commits to. `origin` names the log: the node's origin and the tenant."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


class Signature(Struct, frozen=True):
    """One signature line of a note: the name and the 4-byte id of the key, and 64 bytes of Ed25519."""

    name: str
    key_id: bytes
    value: bytes


SIGNED_BY = "\N{EM DASH} "


def key_id(name: str, public: bytes) -> bytes:
    """The id of an Ed25519 key in signed notes: SHA-256(name, LF, 0x01, key), cut to 4 bytes."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """`name+id+key`: the public key as signed notes write it, for whoever verifies."""
    encoded = b64encode(b"\x01" + public).decode()
    return f"{name}+{key_id(name, public).hex()}+{encoded}"


def read_verifier_key(text: str) -> tuple[str, bytes]:
    """(name, public key). Raises ValueError."""
    name, _, rest = text.strip().partition("+")
    id_text, _, encoded = rest.partition("+")
    try:
        key = b64decode(encoded, validate=True)
    except Error:
        key = b""
    if not name or len(key) != 33 or key[0] != 1 or key_id(name, key[1:]).hex() != id_text:
        raise ValueError("a public key looks like name+0a1b2c3d+AQ...; `pilothouse audit key` prints it")
    return name, key[1:]


def note_of(checkpoint: Checkpoint, name: str, public: bytes, signature: bytes) -> str:
    """A signed note."""
    signed = b64encode(key_id(name, public) + signature).decode()
    return f"{checkpoint.text()}\n{SIGNED_BY}{name} {signed}\n"


def read_note(note: str) -> tuple[Checkpoint, list[Signature]]:
    """A note as it is written; whether its signatures are good is not looked at. Raises ValueError."""
    text, _, lines = note.partition("\n\n")
    try:
        origin, size, root = text.split("\n")
        signatures = [_signature(line) for line in lines.splitlines() if line.startswith(SIGNED_BY)]
        checkpoint = Checkpoint(origin, int(size), b64decode(root, validate=True))
    except (ValueError, Error):
        raise ValueError("this is not a checkpoint") from None
    if not origin or checkpoint.size < 0 or len(checkpoint.root) != HASH_SIZE or checkpoint.text() != text + "\n":
        raise ValueError("this is not a checkpoint")
    return checkpoint, signatures


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(SIGNED_BY).partition(" ")
    raw = b64decode(encoded, validate=True)
    if len(raw) != 68:
        raise ValueError("this is not a signature of Ed25519")
    return Signature(name, raw[:4], raw[4:])
