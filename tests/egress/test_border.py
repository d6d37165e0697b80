"""Where agents may go, tried with real connections: by every library, by raw sockets, through redirects and disguises.

Real `serve` processes; what must not be reached is a server on loopback that counts who came. Excluded: the lists
themselves (`tests/domain/test_egress`).
"""

import pytest

from tests.egress.provider import Provider
from tests.faults.client import Caller

pytestmark = pytest.mark.slow

AGENTS = """
    import asyncio, socket, urllib.request
    import aiohttp, httpx, httpx2, requests
    from pilothouse import Context, agent

    async def with_httpx(url):
        async with httpx.AsyncClient(follow_redirects=True) as client:
            return (await client.get(url)).text

    async def with_httpx2(url):
        async with httpx2.AsyncClient(follow_redirects=True) as client:
            return (await client.get(url)).text

    async def with_aiohttp(url):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    async def with_requests(url):
        return await asyncio.to_thread(lambda: requests.get(url, timeout=60).text)

    async def with_urllib(url):
        return await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=60).read().decode())

    async def with_asyncio(url):
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n")
        answer = await reader.read()
        writer.close()
        return answer.decode()

    async def with_socket(url):
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        def go():
            with socket.create_connection((host, int(port)), timeout=60) as it:
                it.sendall(b"GET / HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n")
                return it.makefile().read()
        return await asyncio.to_thread(go)

    @agent(mode="event")
    async def go(ctx: Context, how: str, url: str) -> str:
        return await globals()[f"with_{how}"](url)

    @agent(mode="event")
    async def free(ctx: Context, how: str, url: str) -> str:
        return await globals()[f"with_{how}"](url)
"""
LIBRARIES = ["httpx", "httpx2", "aiohttp", "requests", "urllib", "asyncio", "socket"]


async def visit(caller: Caller, agent: str, how: str, url: str) -> tuple[str, str]:
    """(output, code of the error)."""
    started = await caller.start(agent, {"how": how, "url": url}, headers={"Prefer": "respond-async"})
    run = await caller.wait_end(started.body["id"])
    return run["output"] or "", (run["error"] or {}).get("code", "")


async def test_what_is_not_listed_is_reached_by_nobody_and_by_no_library(serving):
    with Provider() as secret, Provider() as known:
        port = secret.port
        node = serving(
            AGENTS,
            f"""
            [agents.go]
            target = "agents:go"
            egress = ["127.0.0.1:{known.port}"]
            [agents.free]
            target = "agents:free"
            egress = ["127.0.0.1"]
            """,
        )
        await node.start()
        for how in LIBRARIES:
            assert await visit(node.caller, "go", how, f"http://127.0.0.1:{port}") == ("", "egress_denied")
            output, _ = await visit(node.caller, "go", how, f"http://127.0.0.1:{known.port}")
            assert output.endswith("a page")
        for host in ("localhost", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "127.1"):
            for how in ("httpx", "aiohttp", "requests", "urllib"):
                assert (await visit(node.caller, "go", how, f"http://{host}:{port}/"))[1] != ""
        assert secret.calls == []
        assert (await visit(node.caller, "free", "httpx", f"http://127.0.0.1:{port}"))[0] == "a page"


async def test_a_redirect_is_a_new_connection(serving):
    with Provider() as secret:

        def away(request):
            from pilothouse.testing.model_http import HttpReply

            return HttpReply(302, (("location", f"http://127.0.0.1:{secret.port}/"),))

        with Provider(away) as known:
            settings = f"""
                [agents.go]
                target = "agents:go"
                egress = ["127.0.0.1:{known.port}"]
                """
            node = serving(AGENTS, settings)
            await node.start()
            for how in ("httpx", "httpx2", "aiohttp", "requests", "urllib"):
                assert await visit(node.caller, "go", how, f"http://127.0.0.1:{known.port}/") == ("", "egress_denied")
        assert secret.calls == []


async def test_public_leaves_the_public_open_and_a_name_does_not_lead_inside(serving):
    """`localhost` is a name that everybody may resolve; where it leads is not public."""
    with Provider() as secret:
        node = serving(AGENTS, '[egress]\nmode = "public"\n[agents.go]\ntarget = "agents:go"\n')
        await node.start()
        for how in LIBRARIES:
            for host in ("127.0.0.1", "localhost"):
                output, code = await visit(node.caller, "go", how, f"http://{host}:{secret.port}")
                assert (output, code) == ("", "egress_denied")
        assert secret.calls == []


async def test_everything_but_metadata_is_open_when_it_is_said_so(serving):
    with Provider() as somewhere:
        node = serving(AGENTS, '[egress]\nmode = "open"\n[agents.go]\ntarget = "agents:go"\n')
        await node.start()
        for how in LIBRARIES:
            assert (await visit(node.caller, "go", how, f"http://127.0.0.1:{somewhere.port}"))[0].endswith("a page")
        for how in ("httpx", "socket", "urllib"):
            assert await visit(node.caller, "go", how, "http://169.254.169.254:80") == ("", "egress_denied")
