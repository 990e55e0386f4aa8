"""The nearest thing to a ClickHouse server that can be had here: its HTTP interface in front of chDB, in a process of its own.

    python clickhouse_server.py FOLDER PASSWORD

Prints its port. It speaks what clickhouse-connect says: `query`, `param_NAME` and settings in the address, SQL or rows in the
body, answers in the asked format, errors as text with `X-ClickHouse-Exception-Code`.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import clickhouse_connect

INSERT = re.compile(r"\s*INSERT INTO\s+`?(\w+)`?(?:\s*\(.*?\))?\s+FORMAT\s+(\w+)\s*", re.IGNORECASE | re.DOTALL)
FORMAT = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
IGNORED = {"query", "database", "default_format", "query_id", "session_id", "client_protocol_version", "role"}
RUNNING: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    local = threading.local()

    @property
    def client(self):
        if not hasattr(self.local, "client"):
            settings = {"max_threads": "1", "async_insert": "0", "output_format_json_quote_64bit_integers": "0"}
            self.local.client = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1], settings=settings)
        return self.local.client

    def do_GET(self) -> None:
        self.answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        body = (
            self.rfile.read(int(self.headers.get("content-length") or 0)) if "content-length" in self.headers else self.chunks()
        )
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        given = base64.b64decode(self.headers.get("authorization", "").removeprefix("Basic ")).decode()
        if given != f"default:{sys.argv[2]}":
            self.answer(403, b"Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)", code="516")
            return
        asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        try:
            self.answer(200, self.run(asked, body))
        except Exception as error:  # noqa: BLE001  (all of it is told)
            code = re.search(r"Code: (\d+)", str(error))
            self.answer(500, str(error).encode(), code=code[1] if code else "1002")

    def chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def run(self, asked, body: bytes) -> bytes:
        sql = asked.get("query", "")
        if inserted := INSERT.match(sql) or INSERT.match(body.decode("utf-8", "replace")):
            rows = body if sql else body[body.index(b"\n") + 1 :]
            self.client.raw_insert(inserted[1], insert_block=rows, fmt=inserted[2])
            return b""
        sql = f"{sql}\n{body.decode()}".strip()
        bound = {key[6:]: value for key, value in asked.items() if key.startswith("param_")}
        settings = {key: value for key, value in asked.items() if key not in IGNORED and not key.startswith("param_")}
        form = FORMAT.search(sql)
        return self.session(FORMAT.sub("", sql), bound, form[1] if form else None, settings)

    def session(self, sql: str, bound, form: str | None, settings) -> bytes:
        for name, value in bound.items():  # as a server reads them: text in the form of TSV
            kind = re.search(rf"\{{{name}:([^}}]+)\}}", sql)
            plain = value
            if kind and kind[1] == "String":  # only a text by itself is escaped once more
                plain = re.sub(r"\\(.)", lambda m: {"t": "\t", "n": "\n", "r": "\r"}.get(m[1], m[1]), value, flags=re.DOTALL)
            read = f"CAST(unhex('{plain.encode().hex()}') AS {kind[1]})" if kind else "''"
            sql = re.sub(rf"\{{{name}:[^}}]+\}}", lambda _, read=read: read, sql)
        known = {key: value for key, value in settings.items() if key in {"max_execution_time", "log_comment"}}
        if not re.match(r"\s*(SELECT|SHOW|EXISTS|DESCRIBE|KILL|WITH)", sql, re.IGNORECASE):
            self.client.command(sql, settings=known)
            return b""
        return self.client.raw_query(sql, fmt=form or "TabSeparated", settings=known)

    def answer(self, status: int, body: bytes, *, code: str = "") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-clickhouse-summary", "{}")
        self.send_header("x-clickhouse-timezone", "UTC")
        if code:
            self.send_header("x-clickhouse-exception-code", code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ready = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.daemon_threads = True
    clickhouse_connect.get_client(interface="chdb", path=sys.argv[1])
    answers = os.dup(1)
    os.dup2(2, 1)
    os.write(answers, f"{ready.server_port}\n".encode())
    ready.serve_forever()
