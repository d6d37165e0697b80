"""A planted canary: the value of a secret reaches its provider and is found nowhere else, whatever the agent does.

The agent prints, emits, raises, stores and sends everything it can get; the provider repeats the key in its answers and
errors, as some do. Afterwards the records file, the log, every answer of the API and the other server are searched.
"""

import json
from urllib.parse import quote

import pytest

from pilothouse.testing.model_http import HttpReply, HttpRequest
from tests.egress.provider import Provider

pytestmark = pytest.mark.slow

CANARY = "sk-canary/7f3a9b+5c1d=e8"
AGENTS = """
    import os, sys
    import aiohttp, httpx, requests
    from pilothouse import Context, agent

    HANDLE = "secret://KEY"

    @agent(mode="session")
    async def leaky(ctx: Context, url: str, other: str, how: str) -> dict:
        headers = {"authorization": f"Bearer {HANDLE}", "content-type": "application/json"}
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "note": HANDLE}
        if how == "httpx":
            async with httpx.AsyncClient() as client:
                answer = await client.post(url + "/v1/chat/completions?key=" + HANDLE, json=body, headers=headers)
                text, status = answer.text, answer.status_code
        elif how == "aiohttp":
            async with aiohttp.ClientSession() as session:
                async with session.post(url + "/v1/chat/completions", json=body, headers=headers) as answer:
                    text, status = await answer.text(), answer.status
        else:
            answer = requests.post(url + "/v1/chat/completions", json=body, headers=headers)
            text, status = answer.text, answer.status_code
        print("got", text)
        print("environment", dict(os.environ), file=sys.stderr)
        os.write(2, b"raw " + text.encode() + b"\\n")
        await ctx.emit({"said": text})
        ctx.session.state["said"] = text
        async def keep(what: str) -> str:
            return what
        await ctx.step(keep, text)
        await ctx.step(keep, str(dict(os.environ)))
        refused = ""
        try:
            async with httpx.AsyncClient() as client:
                await client.get(other + "/?key=" + HANDLE)
        except Exception as error:
            refused = type(error).__name__
        if status != 200:
            raise RuntimeError("it said " + text)
        return {"text": text, "refused": refused}
"""


def echo(request: HttpRequest) -> HttpReply | None:
    key = request.headers.get("authorization", "")
    number = 401 if b"fail" in request.body else 200
    told = f"Incorrect API key provided: {key}"
    failed, answered = {"error": {"message": told}}, {"choices": [{"message": {"content": told}}]}
    said = {**(failed if number == 401 else answered), "note": request.body.decode()}
    return HttpReply(number, (("content-type", "application/json"),), json.dumps(said).encode())


async def test_the_canary_is_found_nowhere(serving):
    with Provider(echo) as provider, Provider() as other:
        node = serving(
            AGENTS,
            f"""
            [egress]
            mode = "open"
            [log]
            level = "debug"
            [secrets.KEY]
            value = "$CANARY"
            hosts = ["127.0.0.1:{provider.port}"]
            [agents.leaky]
            target = "agents:leaky"
            """,
            CANARY=CANARY,
        )
        await node.start()
        shown: list[bytes] = []
        for how in ("httpx", "aiohttp", "requests"):
            for session in ("ok", "fail"):
                given = {"url": provider.url, "other": other.url, "how": how}
                started = await node.caller.start(
                    "leaky", given, session=f"{session}-{how}", headers={"Prefer": "respond-async"}
                )
                run = await node.caller.wait_end(started.body["id"])
                reading = await node.caller.read(run["id"])
                shown += [json.dumps(run).encode(), json.dumps(reading.steps).encode()]
                shown += [event.data for event in reading.events]
                assert run["status"] == "succeeded", run["error"]
                assert run["output"]["refused"] == "SecretRefused"
                assert "secret://KEY" in run["output"]["text"]
        sent = [request.headers["authorization"] for request in provider.calls]
        assert set(sent) == {f"Bearer {CANARY}"}
        assert all(CANARY.encode() in request.body for request in provider.calls)
        assert quote(CANARY, safe="") in provider.calls[0].path
        assert other.calls == []
        await node.terminate()
        shown.append(node.read_log().encode())
        for file in node.project.rglob("*"):
            if file.is_file() and file.suffix not in (".toml", ".py"):
                shown.append(file.read_bytes())
        assert any(b"secret://KEY" in one for one in shown)
        forms = (CANARY.encode(), quote(CANARY, safe="").encode(), json.dumps(CANARY).encode()[1:-1])
        assert [one[:200] for one in shown if any(form in one for form in forms)] == []
