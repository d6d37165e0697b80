"""How a body is told to those who do not read Standard Webhooks: chat rooms want a sentence.

`standard` is the body as it is kept. The others say the same event in the words of a person, and name the run.
"""

from typing import Any

import msgspec

from pilothouse.domain.delivery import Delivery

FORMATS = ("standard", "slack", "teams")
TEXT_LIMIT = 3000
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def shape(format: str, delivery: Delivery) -> bytes:
    match format:
        case "slack":  # https://api.slack.com/messaging/webhooks
            return _encode({"text": sentence(delivery).translate(_MARKS)})
        case "teams":  # an adaptive card, as the workflows of Teams take it
            block = {"type": "TextBlock", "text": sentence(delivery), "wrap": True}
            card = {"type": "AdaptiveCard", "version": "1.4", "body": [block]}
            attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
            return _encode({"type": "message", "attachments": [attachment]})
    return delivery.body


def sentence(delivery: Delivery) -> str:
    """The event for people, at most some three thousand characters."""
    document: dict[str, Any] = _decode(delivery.body)
    facts: dict[str, Any] = document.get("data", {})
    about = delivery.run or facts.get("severity", "")
    head = f"{delivery.agent}: {delivery.type.replace('.', ' ')} ({about})"
    error = facts.get("error")
    said = facts.get("question") or facts.get("summary") or (error.get("message") if isinstance(error, dict) else None)
    if said is None and "output" in facts:
        output = facts["output"]
        said = output if isinstance(output, str) else _encode(output).decode()
    return head if not said else f"{head}\n{str(said)[:TEXT_LIMIT]}"
