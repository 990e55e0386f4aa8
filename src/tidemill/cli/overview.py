"""What `tidemill --help` prints. Imports nothing heavy."""

from __future__ import annotations

from tidemill.cli.commands import SECTIONS

_INTRO = """Example   tidemill init myapp --template rag --source mydocs/
          cd myapp && tidemill apply && tidemill run chain/answer --input question="…"
Usage     tidemill COMMAND [OPTIONS]        tidemill COMMAND --help says more

Operate generative-AI applications: one digest for the whole application, from files to a
measured, deployed, watched endpoint.
"""
_OUTRO = """
Every command takes --json. Without a running server (tidemill up) commands work on the data folder.
Exit codes: 0 ok, 1 a check or gate did not pass, 2 usage or invalid input, 3 not found, 4 denied,
5 unavailable, 6 conflict.
"""


def overview() -> str:
    """The commands by what they are for."""
    lines = [_INTRO]
    wide = max(len(name) for commands in SECTIONS.values() for name in commands) + 2
    for title, commands in SECTIONS.items():
        lines.append(title)
        lines += [f"  {name:<{wide}}{each.summary}" for name, each in commands.items()]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n" + _OUTRO
