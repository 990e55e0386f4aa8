"""`tidemill instrument`: real programs, run as they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from telemetry.instrument.receiver import tree_of
from tidemill.telemetry.instrument.bootstrap import hooks

TIDEMILL = [str(Path(sys.executable).with_name("tidemill"))]
CHAT = """
    from openai import OpenAI
    import sys

    def ask(text):
        client = OpenAI(base_url="{url}/v1", api_key="x", max_retries=0)
        try:
            return client.chat.completions.create(model="m", messages=[dict(role="user", content=text)])
        except Exception as error:
            print(type(error).__name__)

    if __name__ == "__main__":
        ask("hello")
        sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


def write(folder, name, text, **values):
    text = textwrap.dedent(text)
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    (folder / name).write_text(text, "utf-8")


def environ(url, **more):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMILL_", "OTEL_"))}
    return env | {"TIDEMILL_URL": url, "TIDEMILL_TOKEN": "t"} | more


def run(folder, url, *words, **more):
    return subprocess.run(
        [*TIDEMILL, "instrument", *words], cwd=folder, env=environ(url, **more), capture_output=True, text=True, check=False,
        timeout=90,
    )  # fmt: skip


def test_a_script_is_traced_and_its_exit_code_is_its_own(tmp_path, receiver) -> None:
    write(tmp_path, "app.py", CHAT, url=receiver.url)
    ended = run(tmp_path, receiver.url, "--", sys.executable, "app.py", "7")
    assert ended.returncode == 7, ended.stderr
    assert "openai is traced by openinference-instrumentation-openai" in ended.stderr
    (span,) = receiver.wait(1)
    assert (span.kind, span.service) == ("llm", "app")
    assert span.input["messages"] == [{"role": "user", "content": "hello"}]
    assert receiver.requests[-1]["authorization"] == "Bearer t"


def test_a_module_and_quiet(tmp_path, receiver) -> None:
    write(tmp_path, "app.py", CHAT, url=receiver.url)
    ended = run(tmp_path, receiver.url, "--quiet", "--service", "shop", "--", sys.executable, "-m", "app")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert receiver.wait(1)[0].service == "shop"


def test_pytest_and_another_sitecustomize(tmp_path, receiver) -> None:
    write(tmp_path, "app.py", CHAT, url=receiver.url)
    write(
        tmp_path,
        "test_app.py",
        "import app, os\ndef test_it():\n    assert os.environ['ALSO'] == '1'\n    app.ask('in a test')\n",
    )
    own = tmp_path / "own"
    own.mkdir()
    write(own, "sitecustomize.py", "import os\nos.environ['ALSO'] = '1'\n")
    ended = run(
        tmp_path, receiver.url, "--json", "--", sys.executable, "-m", "pytest", "-q", "test_app.py", PYTHONPATH=str(own)
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads(ended.stderr.splitlines()[0])
    assert {"openai", "anthropic", "langchain", "llama_index", "pydantic_ai"} <= {
        each["library"] for each in said["libraries"] if each["by"]
    }
    assert receiver.wait(1)[0].service == "pytest"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_workers_that_a_server_forks(tmp_path, receiver) -> None:
    text = """
        import os, sys
        import app, tidemill

        with tidemill.trace("before"):
            app.ask("in the master")
        workers = []
        for n in range(3):
            worker = os.fork()
            if not worker:
                with tidemill.trace(f"worker {n}"):
                    app.ask("in a worker")
                sys.exit(0)
            workers.append(worker)
        assert [os.waitpid(each, 0)[1] for each in workers] == [0, 0, 0]
    """
    write(tmp_path, "app.py", CHAT, url=receiver.url)
    write(tmp_path, "server.py", text)
    ended = run(tmp_path, receiver.url, "--", sys.executable, "server.py")
    assert ended.returncode == 0, ended.stderr
    spans = receiver.wait(8)
    assert tree_of(spans) == {name: {"ChatCompletion": {}} for name in ("before", "worker 0", "worker 1", "worker 2")}
    assert len({each.span_id for each in spans}) == 8
    assert len({each.trace_id for each in spans}) == 4


def test_a_signal_reaches_the_program(tmp_path, receiver) -> None:
    text = """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
        print("ready", flush=True)
        signal.pause()
    """
    write(tmp_path, "app.py", text)
    command = [*TIDEMILL, "instrument", "--", sys.executable, "app.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environ(receiver.url), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 42


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "needs a program to run"),
        (("--",), 2, "needs a program to run"),
        (("--", "no-such-program"), 3, "there is no program 'no-such-program'"),
        (("--", "./app.py"), 3, "tidemill instrument -- python ./app.py"),
        (("--nonsense",), 2, "nonsense"),
    ],
)
def test_what_cannot_be_run(tmp_path, words, code, said) -> None:
    (tmp_path / "app.py").write_text("")
    ended = run(tmp_path, "http://127.0.0.1:1", *words)
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_program_without_a_server_runs_as_it_would(tmp_path) -> None:
    write(tmp_path, "app.py", CHAT, url="http://127.0.0.1:1")
    start = time.monotonic()
    ended = run(tmp_path, "http://127.0.0.1:1", "--", sys.executable, "app.py", "3")
    assert (ended.returncode, ended.stdout) == (3, "APIConnectionError\n")
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - start < 30


def test_what_is_set_for_opentelemetry_stays(tmp_path) -> None:
    text = "import os, json\nprint(json.dumps({k: v for k, v in os.environ.items() if k.startswith('OTEL_')}))\n"
    write(tmp_path, "app.py", text)
    found = json.loads(run(tmp_path, "http://127.0.0.1:1", "--", sys.executable, "app.py").stdout)
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:1"
    assert "authorization=Bearer%20t" in found["OTEL_EXPORTER_OTLP_HEADERS"]
    other = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SERVICE_NAME": "mine"}
    found = json.loads(run(tmp_path, "http://127.0.0.1:1", "--", sys.executable, "app.py", **other).stdout)
    assert found.items() >= other.items()
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in found, "our token would go to another server"


def test_what_is_found_says_what_to_install() -> None:
    found = [hooks.Found("openai", "openai", install="openinference-instrumentation-openai"), hooks.Found("x", "x", "y", "z:Z")]
    assert hooks.lines(found) == ["x is traced by y", "openai is not traced: pip install openinference-instrumentation-openai"]
    assert "no library" in hooks.lines([])[0]


def test_an_instrumentor_that_fails_does_not_keep_the_program_from_running(tmp_path, receiver) -> None:
    package = tmp_path / "broken-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[opentelemetry_instrumentor]\nthing = thing_instrumentor:Thing\n")
    write(tmp_path, "thing.py", "x = 1\n")
    write(tmp_path, "thing_instrumentor.py", "raise RuntimeError('not today')\n")
    write(tmp_path, "app.py", "import thing\nprint(thing.x)\n")
    ended = run(tmp_path, receiver.url, "--", sys.executable, "app.py", PYTHONPATH=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (0, "1\n")
    assert "thing is not traced: RuntimeError: not today" in ended.stderr
