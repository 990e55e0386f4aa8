"""What an alert tells the outside: a signed webhook and an e-mail. One attempt each; who calls tries again.

A webhook is a POST of JSON with these headers, so that the receiver knows who sent it and can refuse what is old:

- `x-tidemill-timestamp`: seconds since the epoch, when this attempt was made
- `x-tidemill-signature`: `v1=` and the hexadecimal HMAC-SHA256, by the shared secret, of the timestamp, a dot, and the body
- `x-tidemill-delivery`: the same at every attempt of one delivery
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import smtplib
import socket
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from tidemill.core.chat import Secret
from tidemill.core.errors import Denied, Invalid, TidemillError, Unavailable
from tidemill.models.guard import check_host, connector, is_private, is_public
from tidemill.monitor.spec import Email, Webhook
from tidemill.version import __version__

_PORTS: Final = {"smtp": 587, "smtps": 465}
_PRIVATE: Final = "Write allow_private: true in the step if it is meant to go there."


def sign(secret: str, *, timestamp: int, body: bytes) -> str:
    """The value of `x-tidemill-signature`."""
    signed = f"{timestamp}.".encode() + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def read_secret(reference: str) -> str:
    """The secret that `env:NAME` or `file:PATH` leads to, read anew each time. Raises `Denied` when there is none."""
    scheme, _, name = Secret(reference=reference).reference.partition(":")
    if scheme == "env":
        value = os.environ.get(name, "").strip()
        if not value:
            raise Denied(f"the environment variable {name}, which holds the secret, is not set", hint=f"Set {name}.")
        return value
    try:
        value = Path(name).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Denied(f"the secret's file {name} cannot be read: {error}", hint="Check the path.") from error
    if not value:
        raise Denied(f"the secret's file {name} is empty", hint="Write the secret into it.")
    return value


async def post_webhook(hook: Webhook, body: bytes, *, delivery: str, timestamp: int) -> str:
    """Send once; what came back. Raises `Unavailable` for what may pass, `Denied` or `Invalid` for what will not.

    The whole exchange is cut after `hook.timeout` seconds. A redirect is not followed: the signature is for one receiver.
    """
    headers = {
        "content-type": "application/json",
        "user-agent": f"tidemill/{__version__}",
        "x-tidemill-timestamp": str(timestamp),
        "x-tidemill-signature": sign(read_secret(hook.secret), timestamp=timestamp, body=body),
        "x-tidemill-delivery": delivery,
    }
    host = urlsplit(hook.url).hostname or ""
    try:
        address = URL(hook.url)
        if not hook.allow_private:
            check_host(address)
        timeout = aiohttp.ClientTimeout(total=hook.timeout)
        out = connector(allow_private=hook.allow_private)
        async with (
            aiohttp.ClientSession(connector=out, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(address, data=body, headers=headers, allow_redirects=False) as response,
        ):
            return _answered(response.status, host)
    except Denied as error:
        raise _private(host) from error
    except TimeoutError as error:
        raise Unavailable(f"{host} did not answer within {hook.timeout:g} s, and was cut off") from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error.__cause__, Denied) or is_private(error):
            raise _private(host) from error
        raise Unavailable(f"{host} cannot be reached: {_short(error)}") from error


def _answered(status: int, host: str) -> str:
    if 200 <= status < 300:
        return f"{host} answered {status}"
    if 300 <= status < 400:
        raise Invalid(f"{host} answered {status}, a redirect, which is not followed", hint="Write the address it leads to.")
    if status in {408, 425, 429} or status >= 500:
        raise Unavailable(f"{host} answered {status}")
    raise Invalid(f"{host} refused it with {status}", hint="Check the address and the secret.")


def _private(host: str) -> TidemillError:
    return Denied(f"{host} is in a private network, where alerts do not go by default", hint=_PRIVATE)


async def send_email(mail: Email, *, subject: str, text: str) -> str:
    """Send once; whom to. Raises `Unavailable` for what may pass, `Denied` or `Invalid` for what will not."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail.sender, ", ".join(mail.to), " ".join(subject.split())
    message.set_content(text)
    parts = urlsplit(mail.server)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    password = read_secret(mail.password) if mail.password else None
    try:
        address = await asyncio.wait_for(_address(host, port, allow_private=mail.allow_private), mail.timeout)
        sending = asyncio.to_thread(_send, mail, message, host=host, port=port, address=address, password=password)
        await asyncio.wait_for(sending, mail.timeout * 2)  # the socket's own time-out is for each step
    except smtplib.SMTPAuthenticationError as error:
        raise Denied(f"{host} did not take the user name and password ({error.smtp_code})") from error
    except smtplib.SMTPResponseException as error:
        kind = Unavailable if 400 <= error.smtp_code < 500 else Invalid
        raise kind(f"{host} refused the message with {error.smtp_code}") from error
    except smtplib.SMTPRecipientsRefused as error:
        raise Invalid(f"{host} refused every recipient") from error
    except TimeoutError as error:
        raise Unavailable(f"{host} did not answer within {mail.timeout:g} s, and was cut off") from error
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable(f"{host} cannot be reached: {_short(error)}") from error
    return f"sent to {', '.join(mail.to)}"


async def _address(host: str, port: int, *, allow_private: bool) -> str:
    """The address to connect to, looked up once, so that a name cannot change it after it was checked."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not allow_private and not all(map(is_public, addresses)):
        raise _private(host)
    return addresses[0]


class _ToAddress(smtplib.SMTP):
    """Connects to an address that was looked up before; the host's name stays for its certificate."""

    address = ""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  (the address was chosen)
        return socket.create_connection((self.address, port), timeout)


class _ToAddressByTls(smtplib.SMTP_SSL, _ToAddress):
    """The same with TLS from the start."""


def _send(mail: Email, message: EmailMessage, *, host: str, port: int, address: str, password: str | None) -> None:
    context = ssl.create_default_context()
    secure = mail.server.startswith("smtps:")
    server: _ToAddress = _ToAddressByTls(timeout=mail.timeout, context=context) if secure else _ToAddress(timeout=mail.timeout)
    server.address = address
    server._host = host  # pyright: ignore[reportAttributeAccessIssue] # noqa: SLF001  (the name that the certificate must bear)
    with server:
        server.connect(host, port)
        if mail.starttls and not secure:
            server.starttls(context=context)
        if mail.user and password:
            server.login(mail.user, password)
        server.send_message(message)


def _short(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:199]}…"
