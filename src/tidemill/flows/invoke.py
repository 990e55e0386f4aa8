"""Function and tool steps: call the project's own Python."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence

import anyio.to_thread
import jsonschema_rs

from tidemill.core.errors import Invalid, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanKind, Version
from tidemill.flows.load_code import as_json, load_callable
from tidemill.flows.results import Calls
from tidemill.flows.step import Call, Outcome, Run

_ONE_CALL = Calls(tool=1)


class Callee:
    """A function or a tool, loaded when first called."""

    def __init__(self, version: Version) -> None:
        self.version = version
        code = version.spec["code"]
        assert isinstance(code, Mapping)
        self._code = code
        self._call: Callable[..., object] | None = None
        schema = version.spec.get("parameters")
        self.parameters: JsonObject = schema if isinstance(schema, Mapping) else {"type": "object"}
        self._validator = jsonschema_rs.validator_for(dict(self.parameters))

    @property
    def is_pure(self) -> bool:
        """Whether it declares no effects and its digest covers all that it runs, so that its answers may be re-used."""
        return self.version.spec.get("effects") == "none" and self._code.get("hermetic") is not False

    async def __call__(self, arguments: JsonObject) -> Json:
        """Call it by name. Raises `Invalid` for arguments against its schema, `Unavailable` for what it raises."""
        found = next(self._validator.iter_errors(dict(arguments)), None)
        if found is not None:
            place = ".".join(map(str, found.instance_path))
            raise Invalid(f"{self.version.bare}: {place + ': ' if place else ''}{found.message}", hint="See its parameters.")
        call = self._call
        if call is None:
            load = functools.partial(load_callable, self._code, what=self.version.bare)
            call = self._call = await anyio.to_thread.run_sync(load)
        try:
            if inspect.iscoroutinefunction(call):
                value: object = await call(**arguments)
            else:
                value = await anyio.to_thread.run_sync(functools.partial(call, **arguments), abandon_on_cancel=True)
                if inspect.isawaitable(value):
                    value = await value
        except TidemillError:
            raise
        except Exception as error:
            # The user's code runs here, and may fail in any way.
            raise Unavailable(f"{self.version.bare} raised {type(error).__name__}: {error}") from error
        return as_json(value, what=self.version.bare)


class CallWork:
    """A function or a tool as a step: `with` are its arguments."""

    def __init__(self, version: Version) -> None:
        self._callee = Callee(version)
        self.span_kind: SpanKind = "tool" if version.kind == "tool" else "other"
        self.digest: str | None = version.digest if self._callee.is_pure else None

    async def variation(self, run: Run) -> Sequence[Json]:  # noqa: ARG002  (the Protocol's argument)
        """Nothing: it declared that the same arguments give the same answer."""
        return ()

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:  # noqa: ARG002  (the Protocol's argument)
        """Call it once."""
        return Outcome(value=await self._callee(inputs), calls=_ONE_CALL)
