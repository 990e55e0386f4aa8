"""Anthropic's `/v1/messages` in front of a model of Tidemill's: as much of it as the guide's program needs."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def messages_server(served, model):
    """The URL of a server that asks a model behind `served`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            messages = [{"role": "system", "content": asked["system"]}, *asked["messages"]]
            request = urllib.request.Request(
                f"{served.url}/v1/chat/completions",
                json.dumps({"model": model, "messages": messages}).encode(),
                {"authorization": f"Bearer {served.token}", "content-type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                reply = json.loads(answer.read())
            body = json.dumps(
                {
                    "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_reason": "end_turn",
                    "stop_sequence": None, "content": [{"type": "text", "text": reply["choices"][0]["message"]["content"]}],
                    "usage": {
                        "input_tokens": reply["usage"]["prompt_tokens"], "output_tokens": reply["usage"]["completion_tokens"],
                    },
                }
            ).encode()  # fmt: skip
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
