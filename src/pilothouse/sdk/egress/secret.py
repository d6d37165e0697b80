"""Secrets as handles: `secret://NAME` in a header, a query or a body becomes the secret at the border, on its way out.

User code, prompts, the journal and logs hold the handle; the value goes only to hosts that the settings name for it.
What comes back and echoes the value (a provider that repeats a wrong key) gets the handle again, and so does every
message that leaves this process for the node, as the last net. This keeps secrets from leaking by accident or by
injected prompts; code of the agent itself, in the same process, could still find them.
"""

import re
from typing import Any
from urllib.parse import quote

from msgspec import Struct, structs

from pilothouse.domain.egress import is_listed
from pilothouse.domain.secret import HANDLE as MARK
from pilothouse.domain.secret import Secret
from pilothouse.errors import SecretRefused
from pilothouse.sdk.egress.exchange import Outgoing

HANDLE = re.compile(r"secret://([A-Za-z0-9_.-]{1,64})")
HANDLE_BYTES = re.compile(rb"secret://([A-Za-z0-9_.-]{1,64})")
MARK_BYTES = MARK.encode()
SHORTEST = 8
"""Characters of a value that is looked for in what leaves: shorter ones would be found in everything."""


class Secrets:
    def __init__(self) -> None:
        self._known: dict[str, Secret] = {}
        self._texts: list[tuple[str, str]] = []
        self._bytes: list[tuple[bytes, bytes]] = []

    def learn(self, secrets: list[Secret]) -> None:
        """All there are; what was known before is forgotten."""
        self._known = {secret.name: secret for secret in secrets}
        forms: dict[str, str] = {}
        for secret in secrets:
            if len(secret.value) >= SHORTEST:
                forms[secret.value] = forms[quote(secret.value, safe="")] = MARK + secret.name
        self._texts = sorted(forms.items(), key=lambda form: -len(form[0]))
        self._bytes = [(text.encode(), handle.encode()) for text, handle in self._texts]

    @property
    def has_any(self) -> bool:
        return bool(self._texts)

    # --- out ---

    def put_in(self, request: Outgoing) -> Outgoing:
        """The request with its handles replaced; the request itself when it has none. Raises `SecretRefused`."""
        is_there = MARK in request.url or any(MARK in value for _, value in request.headers)
        if not is_there and not (request.body is not None and MARK_BYTES in request.body):
            return request
        host, port, _ = request.place

        def value_of(name: str) -> str:
            secret = self._known.get(name)
            if secret is None:
                raise SecretRefused(name=name, reason="is not in the settings", host=host)
            if not is_listed(secret.hosts, host, port):
                raise SecretRefused(name=name, reason=f"may not go to {host}:{port}", host=host)
            return secret.value

        url = HANDLE.sub(lambda found: quote(value_of(found[1]), safe=""), request.url)
        headers = [(name, HANDLE.sub(lambda found: value_of(found[1]), value)) for name, value in request.headers]
        body = request.body
        if body is not None and MARK_BYTES in body:
            body = HANDLE_BYTES.sub(lambda found: value_of(found[1].decode()).encode(), body)
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        return Outgoing(request.method, url, headers, body)

    # --- back ---

    def take_out(self, raw: bytes) -> bytes:
        for value, handle in self._bytes:
            if value in raw:
                raw = raw.replace(value, handle)
        return raw

    def take_out_text(self, text: str) -> str:
        for value, handle in self._texts:
            if value in text:
                text = text.replace(value, handle)
        return text

    def clean(self, message: Any) -> Any:
        """A frame for the node without any value in any of its texts; the frame itself when it has none."""
        return self._clean(message)

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.take_out_text(value)
        if isinstance(value, bytes):
            return self.take_out(value)
        if isinstance(value, Struct):
            changed = {}
            for name in value.__struct_fields__:
                old = getattr(value, name)
                new = self._clean(old)
                if new is not old:
                    changed[name] = new
            return structs.replace(value, **changed) if changed else value
        if isinstance(value, list | tuple):
            cleaned = [self._clean(one) for one in value]
            if all(new is old for new, old in zip(cleaned, value, strict=True)):
                return value
            return type(value)(cleaned)
        if isinstance(value, dict):
            return {self._clean(key): self._clean(one) for key, one in value.items()}
        return value
