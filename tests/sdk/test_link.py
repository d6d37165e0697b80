"""The link: one frame for each tick, whole frames only, and an end that is told once."""

import asyncio
import socket

import msgspec
import pytest

from pilothouse.sdk import link as link_module
from pilothouse.sdk.link import Link, LinkBroken
from pilothouse.wire.frames import FRAME_LIMIT, LENGTH, Emit, Ping, Pong, ToHost, ToNode


class End:
    """One end of a link, and what it was told."""

    def __init__(self, kind):
        self.batches, self.lost, self.refused, self.paces = [], [], [], []
        self.link = Link(
            self.batches.append, self.lost.append, kind, refused=self.refused.append, paced=self.paces.append
        )

    @property
    def messages(self):
        return [one for batch in self.batches for one in batch]


async def until(is_so):
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.001)


@pytest.fixture
async def sockets():
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


async def attach(end, sock):
    await asyncio.get_running_loop().create_unix_connection(lambda: end.link, sock=sock)
    return end


@pytest.fixture
async def pair(sockets):
    host = await attach(End(ToHost), sockets[0])
    node = await attach(End(ToNode), sockets[1])
    yield host, node
    host.link.close()
    node.link.close()
    await until(lambda: host.lost and node.lost)


async def test_what_is_sent_in_one_tick_arrives_as_one_batch(pair):
    host, node = pair
    for ref in range(100):
        host.link.send(Pong(ref))
    await until(lambda: len(node.messages) == 100)
    assert [len(batch) for batch in node.batches] == [100]
    assert [one.ref for one in node.messages] == list(range(100))
    host.link.send(Pong(100))
    await until(lambda: len(node.messages) == 101)
    assert len(node.batches) == 2


async def test_only_what_was_sent_last_and_has_not_left_can_be_taken_back(pair):
    host, node = pair
    first, second = Pong(1), Pong(2)
    host.link.send(first)
    host.link.send(second)
    assert not host.link.take_back(first)
    assert host.link.take_back(second)
    assert not host.link.take_back(second)
    await until(lambda: node.messages)
    assert not host.link.take_back(first)
    host.link.send(Pong(3))
    await until(lambda: len(node.messages) == 2)
    assert [one.ref for one in node.messages] == [1, 3]


async def test_both_directions_work_at_once(pair):
    host, node = pair
    host.link.send(Pong(1))
    node.link.send(Ping(2))
    await until(lambda: host.messages and node.messages)
    assert [host.messages[0].ref, node.messages[0].ref] == [2, 1]


async def test_frames_in_any_pieces_arrive_whole_and_in_order(sockets):
    node = await attach(End(ToNode), sockets[1])
    stream = b""
    for ref in range(20):
        body = msgspec.msgpack.encode([Pong(ref), Emit(1, b"x" * ref)])
        stream += LENGTH.pack(len(body)) + body
    for size in (1, 2, 3, 7, 50, len(stream)):
        node.batches.clear()
        for at in range(0, len(stream), size):
            node.link.data_received(stream[at : at + size])
        assert [one.ref for one in node.messages if isinstance(one, Pong)] == list(range(20))
        assert [len(batch) for batch in node.batches] == [2] * 20
    node.link.close()
    await until(lambda: node.lost)


async def test_a_frame_over_the_limit_ends_the_link_before_it_is_read(sockets):
    node = await attach(End(ToNode), sockets[1])
    await asyncio.get_running_loop().sock_sendall(sockets[0], LENGTH.pack(FRAME_LIMIT + 1))
    await until(lambda: node.lost)
    assert isinstance(node.lost[0], LinkBroken)
    assert "over the limit" in str(node.lost[0])


@pytest.mark.parametrize("body", [b"\xc1", b"\x91\x92\x63\x01", b"[]", b"\x91\x91\x0d"], ids=str)
async def test_a_frame_that_cannot_be_read_ends_the_link(sockets, body):
    node = await attach(End(ToNode), sockets[1])
    await asyncio.get_running_loop().sock_sendall(sockets[0], LENGTH.pack(len(body)) + body)
    await until(lambda: node.lost)
    assert "cannot be read" in str(node.lost[0])
    assert len(node.lost) == 1


async def test_a_batch_over_the_limit_is_halved_until_it_fits(pair, monkeypatch):
    host, node = pair
    monkeypatch.setattr(link_module, "FRAME_LIMIT", 1000)
    for at in range(16):
        host.link.send(Emit(at, b"x" * 300))
    await until(lambda: len(node.messages) == 16)
    assert [one.slot for one in node.messages] == list(range(16))
    assert len(node.batches) > 4


async def test_a_message_that_fits_no_frame_is_handed_back_and_the_others_go(pair, monkeypatch):
    host, node = pair
    monkeypatch.setattr(link_module, "FRAME_LIMIT", 1000)
    for message in (Pong(1), Emit(7, b"x" * 2000), Pong(2), Pong(1 << 70)):
        host.link.send(message)
    await until(lambda: len(node.messages) == 2)
    assert [one.ref for one in node.messages] == [1, 2]
    assert [type(one) for one in host.refused] == [Emit, Pong]
    assert not host.lost


async def test_who_sends_too_much_is_told_to_wait_and_told_when_to_go_on(sockets):
    host = await attach(End(ToHost), sockets[0])
    for _ in range(40):
        host.link.send(Emit(1, b"x" * 100_000))
        await asyncio.sleep(0)
    assert host.paces == [False]
    node = await attach(End(ToNode), sockets[1])
    await until(lambda: len(node.messages) == 40)
    await until(lambda: host.paces[-1])
    assert host.paces.count(True) == 1
    host.link.close()
    await until(lambda: node.lost and host.lost)


async def test_a_side_that_never_reads_ends_the_link_at_the_limit(sockets, monkeypatch):
    monkeypatch.setattr(link_module, "HELD_LIMIT", 10)
    host = await attach(End(ToHost), sockets[0])
    for _ in range(60):
        host.link.send(Emit(1, b"x" * 100_000))
        await asyncio.sleep(0)
    assert "does not read" in str(host.lost[0])
    host.link.send(Pong(1))
    await asyncio.sleep(0)
    assert len(host.lost) == 1


async def test_what_was_sent_before_the_close_still_arrives(pair):
    host, node = pair
    host.link.send(Pong(1))
    host.link.close()
    await until(lambda: node.lost)
    assert [one.ref for one in node.messages] == [1]
    assert node.lost == [None]


async def test_a_link_that_is_closed_before_it_is_there_keeps_what_waits_and_fails_nobody(sockets):
    host, node = End(ToHost), await attach(End(ToNode), sockets[1])
    host.link.send(Pong(1))
    host.link.close()
    await attach(host, sockets[0])
    await until(lambda: node.messages)
    assert node.messages == [Pong(1)]
    for end in (host, node):
        end.link.close()
    await until(lambda: host.lost and node.lost)
