"""The control plane over HTTP on loopback, list, get and apply, against a bare Starlette that answers the same bytes.

    python -m bench.api

Both servers are processes of their own under uvicorn with httptools, and one client on one kept connection asks each in turn,
so that what others do on the machine falls on both. The baseline has no login, no database, no headers of ours: what is
between the two is the whole of the API. `apply` changes one prompt of two hundred artifacts each time, which is one version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from bench.measure import one_thread, report

ROUNDS, APPLIES, ARTIFACTS = 1000, 40, 200
BARE = """
import json, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
bodies = {name: open(path, 'rb').read() for name, path in json.loads(sys.argv[1]).items()}
def answer(name):
    async def give(request):
        await request.body()
        return Response(bodies[name], media_type='application/json')
    return give
app = Starlette(routes=[Route('/' + name, answer(name), methods=['GET', 'POST']) for name in bodies])
config = uvicorn.Config(app, port=0, http='httptools', ws='none', lifespan='off', log_config=None, access_log=False,
                        server_header=False, date_header=False)
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(config).run()
"""


def quantile(seconds: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000


def timed(http: httpx.Client, method: str, path: str, **options) -> float:
    start = time.perf_counter()
    answer = http.request(method, path, **options)
    took = time.perf_counter() - start
    assert answer.status_code == 200, answer.text
    return took


def specs(changed: int) -> dict[str, object]:
    texts = [
        f"kind: prompt\nname: prompt-{n}\ntext: |\n  Answer {changed if n == 0 else 0} in one sentence.\n  {{{{question}}}}\n"
        for n in range(ARTIFACTS)
    ]
    return {"files": {"tidemill/prompts.yaml": "---\n".join(texts)}}


def tell(what: str, ours: list[float], bare: list[float]) -> None:
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        report(
            "api", f"{what}, {name}", ours=quantile(ours, share), baseline=quantile(bare, share), unit="ms",
            baseline_is="bare Starlette, same bytes", requests=len(ours),
        )  # fmt: skip


def main() -> None:
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("tidemill")),
            "up",
            "--port",
            "0",
            "--otlp-grpc-port",
            "0",
            "--no-open",
            "--json",
        ]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
        server = subprocess.Popen(command, cwd=folder, env=kept, stdout=subprocess.PIPE, text=True)
        others = [server]
        try:
            ready = json.loads(server.stdout.readline())
            headers = {"authorization": f"Bearer {Path(ready['token_file']).read_text().strip()}"}
            base = "/api/v1/projects/default"
            with httpx.Client(base_url=ready["url"] + base, headers=headers, timeout=60, trust_env=False) as http:
                applied = http.post("/apply", json=specs(0))
                assert applied.status_code == 200, applied.text
                asked = {
                    "get": http.get("/artifacts/prompt/prompt-7/versions/v1"),
                    "list": http.get("/artifacts", params={"limit": 100}),
                    "apply": http.post("/apply", json=specs(1)),
                }
                paths = {}
                for name, answer in asked.items():
                    paths[name] = str(Path(folder, name))
                    Path(paths[name]).write_bytes(answer.content)
                bare = subprocess.Popen([sys.executable, "-c", BARE, json.dumps(paths)], stdout=subprocess.PIPE, text=True)
                others.append(bare)
                url = f"http://127.0.0.1:{bare.stdout.readline().strip()}"
                with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as other:
                    measure(http, other)
        finally:
            for each in others:
                each.terminate()
                each.wait()
                each.stdout.close()


def measure(http: httpx.Client, other: httpx.Client) -> None:
    ours: dict[str, list[float]] = {}
    bare: dict[str, list[float]] = {}
    for number in range(ROUNDS + 100):
        for name, path, params in (
            ("get", "/artifacts/prompt/prompt-7/versions/v1", {}),
            ("list", "/artifacts", {"limit": 100}),
        ):
            if name == "list" and number % 5:
                continue
            took = timed(http, "GET", path, params=params), timed(other, "GET", f"/{name}", params=params)
            if number >= 100:
                ours.setdefault(name, []).append(took[0])
                bare.setdefault(name, []).append(took[1])
    tag = http.get("/artifacts/prompt/prompt-7/versions/v1").headers["etag"]
    known = []
    for _ in range(300):
        start = time.perf_counter()
        answer = http.get("/artifacts/prompt/prompt-7/versions/v1", headers={"if-none-match": tag})
        known.append(time.perf_counter() - start)
        assert answer.status_code == 304
    for number in range(APPLIES):
        body = specs(number + 2)
        ours.setdefault("apply", []).append(timed(http, "POST", "/apply", json=body))
        bare.setdefault("apply", []).append(timed(other, "POST", "/apply", json=body))
    tell("get a version", ours["get"], bare["get"])
    tell("get a version that the caller has (304)", known, bare["get"])
    tell("list 100 of 200 artifacts", ours["list"], bare["list"])
    tell("apply 200 documents, one changed", ours["apply"], bare["apply"])


if __name__ == "__main__":
    main()
