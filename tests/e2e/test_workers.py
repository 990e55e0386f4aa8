"""`tidemill up --workers 2`: all agree within a second, and no request fails while anything is changed or replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import httpx
import psutil
import pytest

from e2e.processes import Server, served
from waiting import until

SPEC = """---
kind: model
name: one
provider: test
reply: one
---
kind: model
name: two
provider: test
reply: two
---
kind: model
name: slow
provider: test
reply: slow
first_token_ms: 60000
---
kind: route
name: fast
targets: [model/{target}]
---
kind: prompt
name: hello
text: "{target} {{{{input}}}}"
---
kind: chain
name: answer
inputs: {{question: string}}
steps:
  - {{id: said, prompt: prompt/hello, model: model/{target}, with: {{input: "{{{{question}}}}"}}}}
output: "{{{{said.text}}}}"
"""
_CLIENTS = 8  # connections, which workers share evenly
_AGREED = 1.0  # seconds


class Client:
    """One connection, which stays at one worker; who is asked with no key is asked as the admin."""

    def __init__(self, server: Server) -> None:
        self.http = httpx.Client(base_url=server.url, headers=dict(server.http.headers), timeout=60, trust_env=False)

    def ask(self, model: str, *, key: str | None = None) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return self.http.post("/v1/chat/completions", json=body, headers=headers)

    def says(self, model: str, *, key: str | None = None) -> str:
        answer = self.ask(model, key=key)
        return answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else str(answer.status_code)


def apply(server: Server, target: str) -> None:
    server.post("/apply", {"files": {"tidemill/a.yaml": SPEC.format(target=target)}})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("workers"), workers=2) as running:
        apply(running, "one")
        yield running


@pytest.fixture
def clients(server: Server) -> Iterator[list[Client]]:
    found = [Client(server) for _ in range(_CLIENTS)]
    with ThreadPoolExecutor(_CLIENTS) as pool:  # at once, so that each has a connection of its own
        assert set(pool.map(lambda each: each.says("model/one"), found)) == {"one"}
    yield found
    for each in found:
        each.http.close()


class Hammer:
    """Asks all the time, over connections that are kept and over new ones; what fails is kept."""

    def __init__(self, server: Server, ask: Callable[[Client], httpx.Response]) -> None:
        self.server = server
        self.answered = 0
        self.failed: list[str] = []
        self._ask = ask
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kept,)) for kept in (True, True, False)]

    def _run(self, is_kept: bool) -> None:
        client = Client(self.server)
        while not self._over.is_set():
            try:
                answer = self._ask(client)
                if answer.status_code == 200:
                    self.answered += 1
                else:
                    self.failed.append(f"{answer.status_code} {answer.text[:200]}")
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
            if not is_kept:
                client.http.close()
                client = Client(self.server)
        client.http.close()

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join()


def workers_of(server: Server) -> dict[str, int]:
    """The pids of the server's processes by what they are; the newest of each."""
    found: dict[str, int] = {}
    for each in sorted(psutil.Process(server.process.pid).children(), key=lambda each: each.create_time()):
        with contextlib.suppress(psutil.Error):
            words = " ".join(each.cmdline())
            if '"number":' in words:
                found[words.split('"number":')[1].split(",")[0]] = each.pid
    return found


def agrees(clients: list[Client], look: Callable[[Client], str], wanted: str) -> None:
    """Every connection is answered so within a second, and from then on."""
    began = time.monotonic()
    while not all(look(each) == wanted for each in clients):
        assert time.monotonic() - began < _AGREED + 1.0, [look(each) for each in clients]  # and what asking takes
    assert [look(each) for each in clients] == [wanted] * len(clients)


def test_it_is_one_supervisor_a_keeper_and_two_workers_behind_one_address(server, clients):
    assert server.ready["workers"] == 2
    assert server.ready["pid"] == server.process.pid
    assert set(workers_of(server)) == {"0", "1", "2"}
    page = server.http.get("/metrics").text
    assert 'tidemill_process_threads{process="keeper"' in page
    before = requests_counted(server)
    for each in clients:
        assert each.says("model/one") == "one"
    assert requests_counted(server) == before + len(clients), "of all workers, added up"
    assert server.http.get("/readyz").json() == {"status": "ready"}


def requests_counted(server: Server) -> int:
    page = server.http.get("/metrics", params={"form": "json"}).json()["items"]
    wanted = {"method": "POST", "route": "/v1/chat/completions", "status": "200"}
    return sum(each["value"] for each in page if each["name"] == "tidemill_http_requests_total" and each["labels"] == wanted)


def test_all_agree_on_keys_routes_deployments_and_models_within_a_second(server, clients):
    def ask(client: Client) -> httpx.Response:
        return client.ask("route/fast")

    apply(server, "one")
    server.http.put(f"{server.api}/endpoints/answer", json={"app": "chain/answer"})
    with Hammer(server, ask) as hammer:
        for target in ("two", "one"):
            apply(server, target)
            agrees(clients, lambda each: each.says("route/fast"), target)
            server.post("/endpoints/answer:deploy", {"app": "chain/answer"})
            agrees(clients, lambda each: each.says("answer"), target)
        made = server.post("/keys", {})
        agrees(clients, lambda each: each.says("model/one", key=made["key"]), "one")
        turned = server.post(f"/keys/{made['id']}:rotate", {"overlap": "1h"})
        for key in (made["key"], turned["key"]):
            agrees(clients, lambda each, key=key: each.says("model/one", key=key), "one")
        assert server.http.delete(f"{server.api}/keys/{turned['id']}").status_code == 204
        agrees(clients, lambda each: each.says("model/one", key=turned["key"]), "401")
    assert hammer.failed == []
    assert hammer.answered > 10


def test_limits_are_exact_across_workers_and_a_killed_worker_holds_no_place(server, clients):
    made = server.post("/keys", {"limits": {"rpd": 20}})
    key = made["key"]
    with ThreadPoolExecutor(len(clients)) as pool:
        found = Counter(pool.map(lambda number: clients[number % _CLIENTS].ask("model/one", key=key).status_code, range(40)))
    assert found == {200: 20, 429: 20}
    used = server.get(f"/keys/{made['id']}/usage")["total"]
    assert (used["requests"], used["refused"]) == (20, 20)
    key = server.post("/keys", {"limits": {"concurrency": 2}})["key"]
    before = workers_of(server)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(_broken_off, each, key) for each in clients[:2]]
        until(lambda: clients[4].ask("model/one", key=key).status_code == 429)
        for number in ("1", "2"):
            os.kill(before[number], signal.SIGKILL)
        assert [each.result(30) for each in waiting] == [True, True]
    fresh = Client(server)
    until(lambda: _is_answered(fresh, key))
    fresh.http.close()
    until(lambda: not set(before.values()) & {workers_of(server).get("1"), workers_of(server).get("2")})
    assert len(server.get("/traces", limit=1)["items"]) == 1


def _broken_off(client: Client, key: str) -> bool:
    try:
        client.ask("model/slow", key=key)
    except httpx.HTTPError:
        return True
    return False


def _is_answered(client: Client, key: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.ask("model/one", key=key).status_code == 200
    return False


def test_a_killed_worker_is_started_again_and_all_that_it_answered_is_found(server):
    tagged = {"x-tidemill-session": "kill"}
    before = workers_of(server)
    answered, cut = 0, 0
    client = Client(server)
    for number in range(60):
        if number == 20:
            server.get("/traces", limit=1)  # before its answer, what every worker took is on disk
            os.kill(before["1"], signal.SIGKILL)
        if number % 10 == 0:
            client.http.close()
            client = Client(server)
        try:
            body = {"model": "model/one", "messages": [{"role": "user", "content": str(number)}]}
            answer = client.http.post("/v1/chat/completions", json=body, headers=tagged)
            assert answer.status_code == 200, answer.text
            answered += 1
        except httpx.HTTPError:
            cut += 1
    client.http.close()
    assert cut <= 1, "only what was under way at the killed worker may fail"
    until(lambda: workers_of(server).get("1") not in {None, before["1"]})
    found = server.get("/traces", filter='session = "kill"', limit=100)["items"]
    assert answered <= len(found) <= answered + cut


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_replacing_all_processes_fails_no_request(server):
    before = workers_of(server)

    def ask(client: Client) -> httpx.Response:
        return client.ask("model/one")

    def look(client: Client) -> httpx.Response:
        return client.http.get(f"{server.api}/artifacts")

    with Hammer(server, ask) as asked, Hammer(server, look) as looked:
        server.process.send_signal(signal.SIGHUP)
        until(lambda: not set(before.values()) & set(workers_of(server).values()) and len(workers_of(server)) == 3)
        until(lambda: "all processes were replaced" in server.log.read_text("utf-8"))
    assert (asked.failed, looked.failed) == ([], [])
    assert asked.answered > 10
    assert looked.answered > 2


def test_settings_that_cannot_be_read_replace_nothing(server):
    before = workers_of(server)
    settings = server.folder / "tidemill.toml"
    settings.write_text("nonsense = 1\n", "utf-8")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "unknown key 'nonsense'" in server.log.read_text("utf-8"))
    settings.unlink()
    assert workers_of(server) == before
    client = Client(server)
    assert client.says("model/one") == "one"
    client.http.close()


@pytest.mark.slow
def test_none_is_left_when_the_supervisor_is_killed(folder):
    server = Server(folder, workers=2)
    found = [psutil.Process(each) for each in workers_of(server).values()]
    server.kill()
    gone, alive = psutil.wait_procs(found, timeout=20)
    assert (len(gone), alive) == (3, [])
    with served(folder) as again:  # one process takes the folder over
        assert again.ready["workers"] == 1
