"""Our checkpointer: LangGraph's own one in memory, with every write of a run kept in its journal and the last
checkpoint of a turn in the trail of its session.

A value that is a list (messages, above all) is written as how many of its first items stay and which follow, compared
with what the channel held before; so a conversation costs what is new, in the journal and in the trails. Channels that
did not change are not written. What is written is the pair `(type, bytes)` of the framework's serializer in base64.
"""

import asyncio
import threading
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from langgraph.checkpoint.base import get_checkpoint_metadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Interrupt

from pilothouse.sdk.execution import Execution

NAME = "langgraph"
INTERRUPT = "__interrupt__"
NS_END = ":"
"""Stands in the namespace of what lives for one task only."""

Typed = tuple[str, bytes]


def packed(typed: Typed) -> list[str]:
    return [typed[0], b64encode(typed[1]).decode()]


def unpacked(pair: Sequence[str]) -> Typed:
    return pair[0], b64decode(pair[1])


class Held:
    """What a channel held last: its version, and the serialized value or the serialized items of a list."""

    __slots__ = ("is_list", "parts", "version")

    def __init__(self, version: Any, is_list: bool, parts: list[Typed]) -> None:
        self.version, self.is_list, self.parts = version, is_list, parts


class Channels:
    """The channels of one namespace, as they were written last; makes differences and applies them."""

    def __init__(self, serde: Any) -> None:
        self._serde = serde
        self.held: dict[str, Held] = {}

    def write(self, values: dict[str, Any], versions: dict[str, Any]) -> dict[str, Any]:
        """The difference that brings the channels to these versions, as JSON; afterwards they are there."""
        found: dict[str, Any] = {}
        for name, version in versions.items():
            if name not in values:
                self.held[name] = Held(version, False, [])
                found[name] = {"version": version}
                continue
            value = values[name]
            is_list = type(value) is list
            parts = [self._serde.dumps_typed(one) for one in (value if is_list else [value])]
            before = self.held.get(name)
            stays = _same_first(before.parts, parts) if before is not None and is_list and before.is_list else 0
            found[name] = {"version": version, "stays": stays if is_list else None, "parts": _packed(parts[stays:])}
            self.held[name] = Held(version, is_list, parts)
        return found

    def read(self, difference: dict[str, Any]) -> None:
        for name, one in difference.items():
            parts = [unpacked(part) for part in one.get("parts", ())]
            stays = one.get("stays")
            if stays:
                parts = self.held[name].parts[:stays] + parts
            self.held[name] = Held(one["version"], stays is not None, parts)

    def values(self, names: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in names:
            held = self.held[name]
            if held.is_list or held.parts:
                loaded = [self._serde.loads_typed(part) for part in held.parts]
                found[name] = loaded if held.is_list else loaded[0]
        return found

    @property
    def versions(self) -> dict[str, Any]:
        return {name: held.version for name, held in self.held.items()}


def _same_first(before: list[Typed], after: list[Typed]) -> int:
    """How many first items are the same."""
    count = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        count += 1
    return count


def _packed(parts: list[Typed]) -> list[list[str]]:
    return [packed(part) for part in parts]


class Keeper(Protocol):
    """Where what a run writes is kept. `mark` tells one writing from another."""

    async def keep(self, mark: str, content: bytes) -> None: ...

    def keep_blocking(self, mark: str, content: bytes) -> None: ...


class Journal:
    """The journal of an attempt."""

    def __init__(self, attempt: Execution) -> None:
        self._attempt = attempt

    async def keep(self, mark: str, content: bytes) -> None:
        await self._attempt.journal.checkpoint(NAME, mark, content)

    def keep_blocking(self, mark: str, content: bytes) -> None:
        """From a sync node, in its thread: waits there. On the loop nobody can wait: it is kept in the order of what
        follows."""
        loop, kept = self._attempt.loop, self.keep(mark, content)
        if threading.get_ident() == self._attempt.surroundings.thread:
            loop.create_task(kept).add_done_callback(lambda done: done.cancelled() or done.exception())
        else:
            asyncio.run_coroutine_threadsafe(kept, loop).result()


class Saver(InMemorySaver):
    """One for each attempt. `thread` is the only thread it knows to keep; others (a graph that a node calls by itself)
    live as long as the attempt."""

    def __init__(self, keeper: Keeper, thread: str, serde: Any = None) -> None:
        super().__init__(serde=serde)
        self._keeper = keeper
        self._thread = thread
        self._written: dict[str, Channels] = {}
        self._lock = threading.Lock()
        self._turn: dict[str, Channels] = {}
        """What the trails so far come to, by namespace."""
        self.has_begun = False
        """Whether the run has a checkpoint of its own: it is gone on with, instead of begun."""
        self._asked: dict[str, tuple[str, bool]] = {}
        """By interrupt: the task that raised it, and whether it still waits."""

    # --- what was kept before ---

    def restore(self, trails: Sequence[Any], rows: Sequence[bytes]) -> None:
        """Brings everything to where the turns and the attempts before have left it."""
        last: dict[str, Any] = {}
        for trail in trails:
            for ns, one in trail["namespaces"].items():
                if trail.get("whole"):
                    self._turn.pop(ns, None)
                self._channels(self._turn, ns).read(one["channels"])
                last[ns] = one
        for ns, one in last.items():
            self._channels(self._written, ns).held.update(self._turn[ns].held)
            self._restore_checkpoint(ns, one, list(self._turn[ns].held), None)
        for raw in rows:
            row = msgspec.json.decode(raw)
            if "task" in row:
                self._restore_writes(row)
            else:
                self._channels(self._written, row["ns"]).read(row["channels"])
                self._restore_checkpoint(row["ns"], row, list(row["channels"]), row["parent"])
                self.has_begun = self.has_begun or row["ns"] == ""

    def _channels(self, among: dict[str, Channels], ns: str) -> Channels:
        channels = among.get(ns)
        if channels is None:
            channels = among[ns] = Channels(self.serde)
        return channels

    def _restore_checkpoint(self, ns: str, one: dict[str, Any], names: list[str], parent: str | None) -> None:
        checkpoint = self.serde.loads_typed(unpacked(one["checkpoint"]))
        channels = self._written[ns]
        configurable: dict[str, Any] = {"thread_id": self._thread, "checkpoint_ns": ns}
        if parent is not None:
            configurable["checkpoint_id"] = parent
        whole = {**checkpoint, "channel_values": channels.values(names)}
        versions = {name: channels.held[name].version for name in names}
        metadata = self.serde.loads_typed(unpacked(one["metadata"]))
        super().put({"configurable": configurable}, whole, metadata, versions)

    def _restore_writes(self, row: dict[str, Any]) -> None:
        writes = [(channel, self.serde.loads_typed(unpacked(pair))) for channel, pair in row["writes"]]
        config = {
            "configurable": {"thread_id": self._thread, "checkpoint_ns": row["ns"], "checkpoint_id": row["checkpoint"]}
        }
        super().put_writes(config, writes, row["task"], row["path"])
        self._note(row["task"], writes)

    # --- what the framework writes ---

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        after = super().put(config, checkpoint, metadata, new_versions)
        row = self._put_row(config, checkpoint, metadata, new_versions)
        if row is not None:
            self._keeper.keep_blocking(*row)
        return after

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        after = super().put(config, checkpoint, metadata, new_versions)
        row = self._put_row(config, checkpoint, metadata, new_versions)
        if row is not None:
            await self._keeper.keep(*row)
        return after

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, task_path)
        row = self._writes_row(config, writes, task_id, task_path)
        if row is not None:
            self._keeper.keep_blocking(*row)

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, task_path)
        row = self._writes_row(config, writes, task_id, task_path)
        if row is not None:
            await self._keeper.keep(*row)

    def _put_row(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> tuple[str, bytes] | None:
        of = config["configurable"]
        if of["thread_id"] != self._thread:
            return None
        ns = of.get("checkpoint_ns", "")
        rest = {name: value for name, value in checkpoint.items() if name != "channel_values"}
        with self._lock:
            channels = self._channels(self._written, ns).write(checkpoint["channel_values"], new_versions)
        row = {
            "ns": ns,
            "parent": of.get("checkpoint_id"),
            "checkpoint": packed(self.serde.dumps_typed(rest)),
            "metadata": packed(self.serde.dumps_typed(get_checkpoint_metadata(config, metadata))),
            "channels": channels,
        }
        return f"{ns} {checkpoint['id']}", msgspec.json.encode(row)

    def _writes_row(self, config: Any, writes: Any, task_id: str, task_path: str) -> tuple[str, bytes] | None:
        of = config["configurable"]
        if of["thread_id"] != self._thread:
            return None
        self._note(task_id, writes)
        row = {
            "ns": of.get("checkpoint_ns", ""),
            "checkpoint": of["checkpoint_id"],
            "task": task_id,
            "path": task_path,
            "writes": [(channel, packed(self.serde.dumps_typed(value))) for channel, value in writes],
        }
        return f"{of['checkpoint_id']} {task_id}", msgspec.json.encode(row)

    # --- interrupts ---

    def _note(self, task: str, writes: Sequence[tuple[str, Any]]) -> None:
        """The first task that raises an interrupt is the one it belongs to; those around it raise it again. It waits
        until its task writes anything else."""
        raised = [one.id for channel, value in writes if channel == INTERRUPT for one in _interrupts(value)]
        for interrupt in raised:
            owner = self._asked.get(interrupt, (task, True))[0]
            if owner == task:
                self._asked[interrupt] = (task, True)
        if not raised:
            for interrupt, (owner, _) in list(self._asked.items()):
                if owner == task:
                    self._asked[interrupt] = (task, False)

    def waits(self, interrupt: str) -> bool:
        return self._asked.get(interrupt, ("", False))[1]

    def ended_before(self, state: Any) -> list[str]:
        """The nodes whose ends have led to the checkpoint of a state."""
        parent = (state.parent_config or {"configurable": {}})["configurable"].get("checkpoint_id", "")
        paths = {path for *_, path in self._ordered_writes(self._thread, "", parent)}
        return sorted(path.rpartition(", ")[2] for path in paths if path.startswith("~__pregel_pull"))

    # --- the trail ---

    def trail(self, deltas: dict[str, Any] | None = None, *, whole: bool = False) -> dict[str, Any]:
        """What this turn has changed: the last checkpoint of each namespace that lives on between turns. `deltas`: the
        values of channels of the graph itself that are missing in it, since no write goes on to the next turn."""
        namespaces: dict[str, Any] = {}
        for ns, stored in self.storage[self._thread].items():
            if NS_END in ns or not stored:
                continue
            found = self.get_tuple({"configurable": {"thread_id": self._thread, "checkpoint_ns": ns}})
            assert found is not None
            before = Channels(self.serde) if whole else self._channels(self._turn, ns)
            known = before.versions
            versions = {
                name: version
                for name, version in found.checkpoint["channel_versions"].items()
                if known.get(name) != version
            }
            rest = {name: value for name, value in found.checkpoint.items() if name != "channel_values"}
            namespaces[ns] = {
                "checkpoint": packed(self.serde.dumps_typed(rest)),
                "metadata": packed(self.serde.dumps_typed(found.metadata)),
                "channels": before.write(
                    {**found.checkpoint["channel_values"], **((deltas or {}) if not ns else {})}, versions
                ),
            }
        return {"namespaces": namespaces, **({"whole": True} if whole else {})}

    @property
    def size(self) -> int:
        """Bytes of all that the last checkpoint holds, about."""
        held = [one for channels in self._written.values() for one in channels.held.values()]
        return sum(len(part[1]) for one in held for part in one.parts)


def _interrupts(value: Any) -> list[Interrupt]:
    values = value if isinstance(value, list | tuple) else [value]
    return [one for one in values if isinstance(one, Interrupt)]
