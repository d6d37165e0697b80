"""A watched folder: what is dropped becomes a run, what cannot be goes aside with its reason."""

import asyncio
import os
import time

from pilothouse.communication.triggers.folder import Folder
from pilothouse.testing import LocalNode
from tests.triggers.test_loop import count, loop_of, runs


def drop(folder, name: str, text: str, age: float = 10.0):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


async def rounds(node, loop, path, many: int = 1) -> None:
    for _ in range(many):
        await loop.round()
        await node.settle()


async def test_a_file_becomes_a_run_and_moves_aside(tmp_path):
    drop(tmp_path, "order.json", '{"n": 3}')
    async with LocalNode({"count": count}) as node:
        await rounds(node, loop_of(node, Folder(tmp_path)), tmp_path)
        assert [run.output for run in await runs(node)] == [b"3"]
        assert not (tmp_path / "order.json").exists()
        assert (tmp_path / "done" / "order.json").read_text() == '{"n": 3}'


async def test_a_file_that_cannot_become_a_run_moves_aside_with_the_reason(tmp_path):
    drop(tmp_path, "order.json", "hello")
    drop(tmp_path, "large.json", "x" * (1024 * 1024 + 1))
    async with LocalNode({"count": count}) as node:
        await rounds(node, loop_of(node, Folder(tmp_path)), tmp_path)
        assert await runs(node) == []
        assert "does not fit" in (tmp_path / "failed" / "order.json.reason.txt").read_text()
        assert "larger than" in (tmp_path / "failed" / "large.json.reason.txt").read_text()


async def test_what_is_still_written_hidden_or_of_another_kind_is_left_alone(tmp_path):
    for name, age in (("new.json", 0.0), (".hidden.json", 10), ("a.json.part", 10), ("notes.txt", 10)):
        drop(tmp_path, name, '{"n": 1}', age)
    (tmp_path / "sub.json").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "notes.txt")
    assert await Folder(tmp_path, "*.json", settle=60).want(10) == []


async def test_a_file_that_was_not_moved_after_a_crash_is_the_same_message_and_one_dropped_again_is_another(tmp_path):
    path = drop(tmp_path, "order.json", '{"n": 3}')
    facts = path.stat()
    async with LocalNode({"count": count}) as node:
        await rounds(node, loop_of(node, Folder(tmp_path)), tmp_path)
        path.write_text('{"n": 3}')
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        await rounds(node, loop_of(node, Folder(tmp_path)), tmp_path)
        assert len(await runs(node)) == 1
        drop(tmp_path, "order.json", '{"n": 3}', age=5.0)
        await rounds(node, loop_of(node, Folder(tmp_path)), tmp_path)
        assert len(await runs(node)) == 2
        assert len(list((tmp_path / "done").iterdir())) == 3


async def test_two_nodes_that_watch_one_folder_make_one_run_of_a_file(tmp_path):
    for number in range(10):
        drop(tmp_path, f"{number}.json", '{"n": 1}')
    async with LocalNode({"count": count}) as node:
        loops = [loop_of(node, Folder(tmp_path)) for _ in range(2)]
        await asyncio.gather(*[loop.round() for loop in loops])
        await node.settle()
        assert len(await runs(node)) == 10


async def test_the_oldest_come_first_and_only_as_many_as_wanted(tmp_path):
    for number in range(5):
        drop(tmp_path, f"{number}.json", '{"n": 1}', age=10.0 + number)
    found = await Folder(tmp_path).want(2)
    assert [one.message.attributes["name"] for one in found] == ["4.json", "3.json"]


async def test_a_file_that_must_come_again_is_left_alone_for_a_while(tmp_path):
    drop(tmp_path, "order.json", '{"n": 3}')
    folder = Folder(tmp_path)
    [one] = await folder.want(1)
    await one.nack(60)
    assert await folder.want(1) == []
    await folder.close()
    assert len(await folder.want(1)) == 1
