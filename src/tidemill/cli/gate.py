"""`tidemill gate`: the rule that an evaluation must pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from tidemill.cli.figures import figure, interval
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, paint, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.client.shapes import GateCheckJson, GateJson

Result = Literal["passed", "failed", "inconclusive", "error"]
_TONES: Mapping[Result, Tone] = {"passed": "good", "failed": "bad", "inconclusive": "unsure", "error": "bad"}


async def gate(
    gate: str, evaluation: str, /, *, against: str | None = None, junit: Path | None = None, options: Options = DEFAULTS
) -> int:
    """Ask a gate about an evaluation. Only `passed` exits 0; `inconclusive` keeps what is there.

    :param gate: The gate, as in gate/release.
    :param evaluation: The candidate's evaluation.
    :param against: The evaluation to be compared with, where the gate compares.
    :param junit: Write the checks as a JUnit file, for a CI server.
    """
    import anyio

    async with open_client(options) as client:
        decision = await client.check_gate(gate, evaluation, against=against)
    if junit is not None:
        await anyio.Path(junit).write_bytes(junit_xml(decision))
    if options.json:
        say_json(decision)
    else:
        print_gate(decision)
    return 0 if decision.get("result") == "passed" else 1


def print_gate(decision: GateJson) -> None:
    """A line a check, then the result."""
    rows = [[_result(each.get("result", "error")), each.get("metric", ""), _said(each)] for each in decision.get("checks", ())]
    if rows:
        for line in table([Column(""), Column(""), Column("")], rows, heading=False):
            say(line)
    result = decision.get("result", "error")
    say(paint(f"gate {result}", _TONES.get(result, "bad")))


def _result(result: Result) -> Cell:
    return Cell(result, _TONES.get(result, "bad"))


def _said(check: GateCheckJson) -> str:
    """The rule and why it came out so; the reason has the value and its interval, where there is one."""
    metric = check.get("metric", "")
    value = f"{figure(metric, check.get('value'))} {interval(metric, check.get('interval')).removeprefix('-')}".strip()
    why = check.get("reason") or value.removeprefix("-")
    return ": ".join(each for each in (check.get("rule"), why) if each)


def junit_xml(decision: GateJson) -> bytes:
    """The checks as JUnit test cases."""
    checks = decision.get("checks", ())
    suite = ET.Element("testsuite", name=decision.get("gate", "gate"), tests=str(len(checks)))
    tags = {"failed": "failure", "inconclusive": "failure", "error": "error"}
    for each in checks:
        case = ET.SubElement(suite, "testcase", name=f"{each.get('metric')} {each.get('rule', '')}".strip(), classname="gate")
        tag = tags.get(each.get("result", "error"))
        if tag:
            ET.SubElement(case, tag, message=each.get("reason", "")).text = _said(each)
    for tag, name in (("failure", "failures"), ("error", "errors")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    return ET.tostring(suite, encoding="utf-8", xml_declaration=True)


COMMAND = gate
