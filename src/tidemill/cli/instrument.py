"""`tidemill instrument`: run a program with tracing on, without touching its code."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from tidemill.cli.options import DEFAULTS, Options
from tidemill.cli.screen import say, say_json
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.served import is_loopback, read_token, served_url
from tidemill.core.settings import Settings, load_settings

_WITHOUT = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_URL = "http://127.0.0.1:8710"
_BOOTSTRAP = Path(__file__).resolve().parents[1] / "telemetry" / "instrument" / "bootstrap"


def instrument(
    *command: str,
    service: str | None = None,
    without: tuple[str, ...] = (),
    quiet: bool = False,
    found: bool = False,
    options: Options = DEFAULTS,
) -> int:
    """Run a program with tracing on, without touching its code. Its exit code and its signals are its own.

    The libraries that it calls models with are traced where an OpenInference or OpenTelemetry package for them is installed
    beside them; which ones are, and which package would trace another, is said on standard error. Processes that the program
    starts are traced, too.

    :param command: The program with its arguments, after `--`.
    :param service: The program's name in the traces, else OTEL_SERVICE_NAME, else the name of its file.
    :param without: A library that is not to be traced, as in --without openai; may be given again. Use it where a framework
        and the client below it are both traced, and each call would be there twice.
    :param quiet: Say nothing besides the program.
    :param found: Run nothing; list what would be traced in this Python.
    """
    if without:
        os.environ[_WITHOUT] = ",".join([*filter(None, [os.environ.get(_WITHOUT)]), *without])
    if found:
        return _list_found(as_json=options.json)
    if not command:
        raise Invalid("tidemill instrument needs a program to run", hint="As in: tidemill instrument -- python app.py")
    program = shutil.which(command[0])
    if program is None:
        raise _missing(command[0])
    settings = load_settings(Path.cwd(), data=options.data, project=options.project)
    said = "" if quiet else "json" if options.json else "text"
    environ = environment(os.environ, settings, service=service or service_of(command), says=said)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program, list(command), environ)  # noqa: S606  (running a program is what it is for)
    except OSError as error:
        raise Invalid(f"{program} cannot be run: {error.strerror}", hint="Is it a program for this machine?") from error


def _missing(name: str) -> NotFound:
    is_script = name.endswith(".py") and Path(name).is_file()
    hint = f"Run it by Python: tidemill instrument -- python {name}" if is_script else "Is it on the PATH?"
    return NotFound(f"there is no program {name!r}", hint=hint)


def environment(environ: Mapping[str, str], settings: Settings, *, service: str, says: str) -> dict[str, str]:
    """The variables that a traced program starts with; what OpenTelemetry's are set to already stays."""
    url = (settings.url or served_url(settings.data) or _URL).rstrip("/")
    token = settings.token or (read_token(settings.data) if is_loopback(url) else None)
    headers = {"x-tidemill-project": settings.project} | ({"authorization": f"Bearer {token}"} if token else {})
    defaults = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": ",".join(f"{name}={quote(value)}" for name, value in headers.items()),
    }
    if environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", url) != url:
        del defaults["OTEL_EXPORTER_OTLP_HEADERS"]  # the token is for our server only
    ours = {
        "TIDEMILL_URL": url,
        "TIDEMILL_PROJECT": settings.project,
        "TIDEMILL_DATA": str(settings.data),
        "TIDEMILL_INSTRUMENT_SAYS": says,
        "PYTHONPATH": os.pathsep.join([str(_BOOTSTRAP), *filter(None, [environ.get("PYTHONPATH")])]),
    }
    return {**defaults, **environ, **ours}


def service_of(command: Sequence[str]) -> str:
    """What to call a program: the script or the module that Python runs, else the command."""
    name, *rest = Path(command[0]).stem, *command[1:]
    if not name.startswith("python") and not name.startswith("pypy"):
        return name
    for number, each in enumerate(rest):
        if each == "-m":
            return rest[number + 1] if number + 1 < len(rest) else name
        if each == "-c":
            return name
        if not each.startswith("-"):
            return Path(each).stem
    return name


def _list_found(*, as_json: bool) -> int:
    from tidemill.telemetry.instrument.bootstrap import hooks

    libraries = hooks.find()
    if as_json:
        say_json({"libraries": [asdict(each) for each in libraries]})
    else:
        for line in hooks.lines(libraries):
            say(line)
    return 0


COMMAND = instrument
