"""One try: where it connects, what it does not follow, and how little of an answer it takes."""

import asyncio

import pytest

from pilothouse.communication.deliveries.post import Poster, Unreachable
from pilothouse.domain.address import LOOPBACK, read_url
from tests.deliveries.receiver import Receiver, answers


def resolves(*rounds: list[str]):
    """A name server that gives another answer each time; the last one stays."""
    left, asked = list(rounds), []

    async def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return left.pop(0) if len(left) > 1 else left[0]

    return look_up, asked


async def post(url: str, *, allowed=LOOPBACK, within=5.0, look_up=None):
    poster = Poster(allowed, within) if look_up is None else Poster(allowed, within, look_up)
    return await poster.post(read_url(url), b"{}", {"x-test": "1"})


async def test_a_post_brings_its_body_and_headers_and_gets_the_status_and_headers():
    async with Receiver([answers(202, "Retry-After: 7")]) as receiver:
        reply = await post(receiver.url + "?a=b")
        assert (reply.status, reply.headers["retry-after"]) == (202, "7")
        [one] = receiver.posts
        assert (one.path, one.body, one.headers["x-test"]) == ("/hook?a=b", b"{}", "1")
        assert one.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "10.0.0.1"])
async def test_nothing_is_connected_to_that_is_closed_whatever_its_name(address):
    async with Receiver() as receiver:
        look_up, asked = resolves([address])
        with pytest.raises(Unreachable, match="closed") as refused:
            await post(f"http://shop.example:{receiver.port}/", allowed=(), look_up=look_up)
        assert asked == ["shop.example"]
        assert receiver.connections == 0
        assert address not in str(refused.value)


async def test_the_address_that_was_judged_is_the_one_that_is_connected_to():
    """A name server that answers with a public address first and with the metadata of the cloud next, as in a
    rebinding attack, is asked once."""
    async with Receiver() as receiver:
        look_up, asked = resolves(["127.0.0.1"], ["169.254.169.254"])
        reply = await post(f"http://shop.example:{receiver.port}/", look_up=look_up)
        assert reply.status == 204
        assert asked == ["shop.example"]
        assert receiver.posts[0].headers["host"] == f"shop.example:{receiver.port}"


async def test_of_several_addresses_only_the_open_ones_are_tried():
    async with Receiver() as receiver:
        look_up, _ = resolves(["10.0.0.1", "127.0.0.1"])
        assert (await post(f"http://shop.example:{receiver.port}/", look_up=look_up)).status == 204


async def test_a_name_that_does_not_exist_is_told():
    async def look_up(host: str, port: int) -> list[str]:
        raise Unreachable(f"the name {host} has no address")

    with pytest.raises(Unreachable, match="has no address"):
        await post("http://nobody.invalid/", look_up=look_up)


async def test_a_redirect_is_an_answer_and_is_not_followed():
    async with Receiver() as inner, Receiver() as receiver:
        receiver.behaviours = [answers(302, f"Location: {inner.url}")]
        assert (await post(receiver.url)).status == 302
        assert inner.connections == 0


async def test_of_a_body_without_end_nothing_is_taken():
    sent = 0

    async def flood(post, reader, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
        while sent < 2**30:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with Receiver([flood]) as receiver:
        assert (await post(receiver.url)).status == 200
        await asyncio.sleep(0)
    assert sent < 64 * 2**20


async def test_a_head_without_end_is_cut_off():
    async def flood(post, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x-more: and more\r\n" * 1000)
            await writer.drain()

    async with Receiver([flood]) as receiver:
        with pytest.raises(Unreachable, match="head of the answer"):
            await post(receiver.url)


async def test_a_receiver_that_dribbles_is_left_when_the_time_is_over():
    async def dribble(post, reader, writer):
        for letter in "HTTP/1.1 200 OK\r\n" + "x-wait: 1\r\n" * 1000:
            writer.write(letter.encode())
            await writer.drain()
            await asyncio.sleep(0.02)

    async with Receiver([dribble]) as receiver:
        with pytest.raises(Unreachable, match=r"no answer within 0.2 s"):
            await post(receiver.url, within=0.2)


@pytest.mark.parametrize("text", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\x01\x02"])
async def test_what_is_no_answer_is_told(text):
    async def babble(post, reader, writer):
        writer.write(text)

    async with Receiver([babble]) as receiver:
        with pytest.raises(Unreachable, match="connection"):
            await post(receiver.url)


async def test_nobody_there_is_told():
    async with Receiver() as receiver:
        url = receiver.url
    with pytest.raises(Unreachable, match="connection"):
        await post(url)
