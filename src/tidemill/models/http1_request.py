"""A request of HTTP/1.1, as bytes."""

from __future__ import annotations

from collections.abc import Mapping

from yarl import URL

from tidemill.core.errors import Invalid


def written(method: str, url: URL, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """A request. Raises `Invalid` for a header that would be more than one."""
    lines = [f"{method} {url.raw_path_qs} HTTP/1.1"]
    if "host" not in headers:
        lines.append(f"host: {_host(url)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None and "content-length" not in headers:
        lines.append(f"content-length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise Invalid("a header of the connection holds the end of a line", hint="Look at its headers and its key.")
    return b"%b\r\n\r\n%b" % (head.encode("utf-8", "surrogatepass"), body or b"")


def _host(url: URL) -> str:
    host = url.raw_host or ""
    port = "" if url.is_default_port() or url.port is None else f":{url.port}"
    return f"[{host}]{port}" if ":" in host else f"{host}{port}"
