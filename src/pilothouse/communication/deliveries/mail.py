"""Deliveries as mail: a sentence for people, over SMTP.

`smtp://user:word@host:587/?to=ops@example.org&from=desk@example.org`, with STARTTLS where the server offers it;
`smtps://` speaks TLS from the first byte. The id of the delivery is the Message-ID, so a repeat is one mail for most
readers. A password never goes out in the clear. What speaks SMTP is imported with the first mail.
"""

import asyncio
import ssl
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from pilothouse.communication.deliveries.options import ReceiverOptions
from pilothouse.communication.deliveries.shape import sentence
from pilothouse.domain.delivery import Answer, Delivery

if TYPE_CHECKING:
    import smtplib
    from email.message import EmailMessage

NO_RUN = Answer("dead", "mail is set up in the settings, never by a run")
PERMANENT = 500
"""From this reply code on the server will not take it later either (RFC 5321, 4.2.1)."""


class Mail:
    def __init__(self, within: float) -> None:
        self._within = within

    async def send(self, delivery: Delivery, receiver: ReceiverOptions | None, now: int) -> Answer:
        if receiver is None:
            return NO_RUN
        return await asyncio.to_thread(self._send, delivery, receiver.url)

    def _send(self, delivery: Delivery, url: str) -> Answer:
        import smtplib

        parts = urlsplit(url)
        query = parse_qs(parts.query)
        if not parts.hostname or "to" not in query:
            return Answer("dead", "its URL is not as in smtp://host/?to=ops@example.org")
        message = compose(delivery, query["to"], query.get("from", ["pilothouse@localhost"])[0])
        try:
            with self._connect(parts.scheme, parts.hostname, parts.port) as server:
                if parts.scheme == "smtp" and server.has_extn("starttls"):
                    server.starttls(context=ssl.create_default_context())
                    server.ehlo()
                elif parts.scheme == "smtp" and parts.username:
                    return Answer("dead", "the mail server offers no TLS, and the password would go out in the clear")
                if parts.username:
                    server.login(unquote(parts.username), unquote(parts.password or ""))
                server.send_message(message)
        except smtplib.SMTPResponseException as error:
            reason = f"the mail server answered {error.smtp_code}"
            return Answer("dead" if error.smtp_code >= PERMANENT else "again", reason)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            reason = f"the mail server answered {codes[0]} for the first of its recipients"
            return Answer("dead" if min(codes) >= PERMANENT else "again", reason)
        except (OSError, smtplib.SMTPException) as error:
            return Answer("again", f"the mail server did not take it ({type(error).__name__})")
        return Answer("delivered")

    def _connect(self, scheme: str, host: str, port: int | None) -> "smtplib.SMTP":
        import smtplib

        server: smtplib.SMTP
        if scheme == "smtps":
            context = ssl.create_default_context()
            server = smtplib.SMTP_SSL(host, port or 465, timeout=self._within, context=context)
        else:
            server = smtplib.SMTP(host, port or 25, timeout=self._within)
        server.ehlo()
        return server

    async def close(self) -> None:
        """Nothing is kept open."""


def compose(delivery: Delivery, to: list[str], sender: str) -> "EmailMessage":
    from email.message import EmailMessage

    text = sentence(delivery)
    message = EmailMessage()
    message["Subject"] = " ".join(text.splitlines()[0].split())[:200]
    message["From"], message["To"] = sender, ", ".join(to)
    message["Message-ID"] = f"<{delivery.id}@pilothouse>"
    message.set_content(text)
    return message
