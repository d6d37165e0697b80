"""Golden transcripts: whole conversations with a node as text, with the parts that differ each time named.

A transcript is a file of requests (`> `) and answers (`< `). The requests are sent as written; `$1` in them is the
first run (or review) of the conversation, `$2` the second. The answers are compared after ids, instants and the like
were replaced, so a reader sees what a caller sees. `PILOTHOUSE_WRITE_TRANSCRIPTS=1` writes the answers anew, for a
person to read the difference.
"""

import difflib
import http.client
import os
import re
from pathlib import Path

FOLDER = Path(__file__).with_name("transcripts")
IDS = re.compile(r"\b(?:run|rev)_[0-9a-f]{30}\b")
VARIABLE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), "<instant>"),
    (re.compile(r"\breq_[0-9a-f]+\b"), "<request>"),
    (re.compile(r'("next_cursor":)"\d+"'), r"\1<cursor>"),
    (re.compile(r'("releases?":\[?")[0-9a-f]{12}'), r"\1<release>"),
)
SKIPPED = ("date", "content-length", "transfer-encoding")


class Conversation:
    def __init__(self, port: int) -> None:
        self._port = port
        self._ids: list[str] = []

    def _name(self, found: re.Match[str]) -> str:
        if found[0] not in self._ids:
            self._ids.append(found[0])
        return f"${self._ids.index(found[0]) + 1}"

    def normalise(self, text: str) -> str:
        for pattern, name in VARIABLE:
            text = pattern.sub(name, text)
        return IDS.sub(self._name, text)

    def exchange(self, request: str) -> str:
        """Sends what is written, gives what came back as text."""
        request = re.sub(r"\$(\d)", lambda found: self._ids[int(found[1]) - 1], request)
        head, _, body = request.partition("\n\n")
        line, *headers = head.split("\n")
        method, path = line.split(" ")
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            given = dict(one.split(": ", 1) for one in headers)
            if body:
                given.setdefault("Content-Type", "application/json")
            connection.request(method, path, body or None, given)
            answer = connection.getresponse()
            shown = [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() not in SKIPPED]
            text = "\n".join([f"{answer.status} {answer.reason}", *shown, "", answer.read().decode()])
        finally:
            connection.close()
        return self.normalise(text.rstrip("\n"))


def read_exchanges(text: str) -> list[str]:
    """The requests of a transcript."""
    found: list[str] = []
    is_open = False
    for line in text.splitlines():
        if line.startswith(">"):
            if not is_open:
                found.append("")
            found[-1] += line.removeprefix(">").removeprefix(" ") + "\n"
        is_open = line.startswith(">")
    return [one.rstrip("\n") for one in found]


def quote(mark: str, text: str) -> str:
    return "\n".join(f"{mark} {line}".rstrip() for line in text.split("\n"))


def check(name: str, port: int) -> None:
    path = FOLDER / f"{name}.txt"
    written = path.read_text()
    title = written.split("\n\n", 1)[0]
    talk = Conversation(port)
    said = [f"{quote('>', request)}\n{quote('<', talk.exchange(request))}" for request in read_exchanges(written)]
    text = "\n\n".join([title, *said]) + "\n"
    if os.environ.get("PILOTHOUSE_WRITE_TRANSCRIPTS"):
        path.write_text(text)
    difference = difflib.unified_diff(written.splitlines(), text.splitlines(), "written", "said", lineterm="")
    assert text == written, "\n".join(difference)
