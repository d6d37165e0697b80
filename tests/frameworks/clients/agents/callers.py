"""One agent for each way in which the clients of Amazon, Google and Mistral ask a model: whole, streamed, sync, async.

They know nothing of Pilothouse. Each gives the text that it was answered.
"""

import asyncio
import json
import os

from pilothouse import Context

URL = os.environ["PROVIDER_URL"]


def amazon():
    import boto3  # type: ignore[import-untyped, unused-ignore]
    from botocore.config import Config

    return boto3.client(
        "bedrock-runtime", endpoint_url=URL, region_name="eu-west-1", aws_access_key_id="AKIAFIRST",
        aws_secret_access_key="first", config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


def asked(text):
    return [{"role": "user", "content": [{"text": text}]}]


def converse(ctx, text: str) -> str:
    answer = amazon().converse(modelId="amazon.nova-pro-v1:0", messages=asked(text))
    return answer["output"]["message"]["content"][0]["text"]


def converse_stream(ctx, text: str) -> str:
    answer = amazon().converse_stream(modelId="amazon.nova-pro-v1:0", messages=asked(text))
    return "".join(one["contentBlockDelta"]["delta"]["text"] for one in answer["stream"] if "contentBlockDelta" in one)


def invoke(ctx, text: str) -> str:
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [text]})
    answer = amazon().invoke_model(modelId="anthropic.claude", body=body)
    return json.loads(answer["body"].read())["content"][0]["text"]


def invoke_stream(ctx, text: str) -> str:
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [text]})
    answer = amazon().invoke_model_with_response_stream(modelId="anthropic.claude", body=body)
    chunks = [json.loads(one["chunk"]["bytes"]) for one in answer["body"]]
    return "".join(one["delta"]["text"] for one in chunks if one["type"] == "content_block_delta")


def google():
    from google import genai

    return genai.Client(api_key="first", http_options={"base_url": URL})


def generate(ctx, text: str) -> str:
    client = google()  # without a name it is closed before it has called
    return client.models.generate_content(model="gemini-a", contents=text).text


async def generate_async(ctx, text: str) -> str:
    return (await google().aio.models.generate_content(model="gemini-a", contents=text)).text


async def generate_stream(ctx, text: str) -> str:
    pieces = await google().aio.models.generate_content_stream(model="gemini-a", contents=text)
    return "".join([piece.text or "" async for piece in pieces])


def mistral():
    from mistralai.client import Mistral

    return Mistral(api_key="first", server_url=URL)


async def complete(ctx, text: str) -> str:
    answer = await mistral().chat.complete_async(model="mistral-a", messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content


def complete_sync(ctx, text: str) -> str:
    answer = mistral().chat.complete(model="mistral-a", messages=[{"role": "user", "content": text}])
    return answer.choices[0].message.content


async def complete_stream(ctx, text: str) -> str:
    pieces = await mistral().chat.stream_async(model="mistral-a", messages=[{"role": "user", "content": text}])
    return "".join([piece.data.choices[0].delta.content or "" async for piece in pieces if piece.data.choices])


WAYS = {
    one.__name__: one
    for one in (
        converse, converse_stream, invoke, invoke_stream, generate, generate_async, generate_stream, complete,
        complete_sync, complete_stream,
    )
}  # fmt: skip


async def ask(ctx: Context, way: str) -> str:
    """Asks, does a step that may be held, and asks the same again."""
    function = WAYS[way]

    async def once() -> str:
        if asyncio.iscoroutinefunction(function):
            return await function(ctx, "Which licence?")
        return await asyncio.to_thread(function, ctx, "Which licence?")

    first = await once()
    await ctx.step(str, "between")
    return f"{first} | {await once()}"
