"""The road of a release to a protected endpoint by the command line, with no server: every command is in-process."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from govern.conftest import APP
from tidemill.cli.main import run

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "govern.md"
POLICY = """
kind: policy
name: production
protects: [endpoint/support, "chain/*@production"]
require:
  - approvals.exists(a, a.role == "reviewer")
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A project that dev applied, and the tokens of the people in it."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "tidemill").mkdir()
    (folder / "tidemill.toml").touch()
    (folder / "tidemill" / "app.yaml").write_text(APP + "---" + POLICY, "utf-8")
    before = Path.cwd()
    os.chdir(folder)
    tokens = {}
    for name, role in (("dev", "developer"), ("rita", "reviewer"), ("olga", "operator")):
        tokens[name] = call("keys", "create", "--person", name, "--role", role)[1].strip()
    yield tokens
    os.chdir(before)


def call(*arguments, token=""):
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
            patched.delenv(name)
        if token:
            patched.setenv("TIDEMILL_TOKEN", token)
        with redirect_stdout(out), redirect_stderr(err):
            code = run(arguments)
    return code, out.buffer.getvalue().decode(), err.getvalue()


def test_a_release_goes_its_way(shop, tmp_path):
    code, _, told = call("apply", "--yes", token=shop["dev"])
    assert code == 0, told
    code, _, told = call("deploy", "chain/help", "--to", "endpoint/support", token=shop["olga"])
    assert (code, "Traceback" in told) == (4, False)
    assert told.startswith('error: endpoint/support needs approvals.exists(a, a.role == "reviewer")\n')
    command = next(line for line in told.splitlines() if "tidemill approve" in line)
    assert command == '  Approve it: tidemill approve release/help@v1 --role reviewer --for endpoint/support --reason "…"'
    release = call("get", "release/help", "--json")
    release = json.loads(release[1])["digest"]
    code, _, told = call("alias", "chain/help", "production", token=shop["olga"])
    assert (code, "chain/help@production needs " in told) == (4, True)

    code, _, told = call("approve", release, "--reason", "mine", token=shop["dev"])
    assert (code, "a developer may not approve" in told) == (4, True)
    code, shown, _ = call("approve", release, "--for", "endpoint/support", "--reason", "read 20\x07", token=shop["rita"])
    assert code == 2
    code, shown, _ = call(
        "approve", release, "--for", "endpoint/support", "--expires", "30d", "--reason", "ok", token=shop["rita"]
    )
    assert (code, shown.splitlines()[0]) == (0, f"approved  {release}")
    assert "by      person/rita as reviewer, for endpoint/support, until 20" in shown
    code, shown, _ = call("policies", "check", "chain/help", "--to", "chain/help@production", token=shop["olga"])
    assert (code, "it is for endpoint/support" in shown) == (1, True)
    code, shown, _ = call("policies", "check", "chain/help", "--to", "endpoint/support", token=shop["olga"])
    assert (code, "allowed" in shown) == (0, True)
    code, shown, _ = call("deploy", "chain/help", "--to", "endpoint/support", token=shop["olga"])
    assert (code, release in shown) == (0, True)

    code, shown, _ = call("approvals", "list", "--release", "endpoint/support")
    assert code == 0
    assert "valid" in shown
    assert "person/rita" in shown
    approval = shown.splitlines()[1].split()[0]
    code, shown, _ = call("approvals", "revoke", approval, "--why", "a wrong answer was found", token=shop["rita"])
    assert (code, shown.startswith(f"revoked {approval}")) == (0, True)
    assert "revoked" in call("approvals", "list")[1]
    code, shown, _ = call("policies", "list")
    assert 'requires  approvals.exists(a, a.role == "reviewer")' in shown
    code, shown, _ = call("keys", "list")
    assert "rita" in shown


def test_the_audit_is_listed_checked_and_exported(shop, tmp_path):
    code, shown, _ = call("audit", "list", "--action", "policy.denied", "--json")
    denied = json.loads(shown)["items"]
    assert [each["who"] for each in denied] == ["person/olga"] * 2
    code, shown, _ = call("audit", "list")
    assert code == 0
    assert {"key.created", "apply", "policy.set", "approval.given", "policy.allowed", "deploy"} <= set(shown.split())

    code, shown, _ = call("audit", "verify")
    assert (code, shown.startswith("holds  ")) == (0, True)
    anchor = shown.split("--anchor ", 1)[1].strip()
    assert call("audit", "verify", "--anchor", anchor)[0] == 0
    assert call("audit", "verify", "--anchor", "7")[0] == 2

    code, _, told = call("audit", "export", "--to", str(tmp_path / "audit.jsonl"))
    assert code == 0, told
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert f"{len(lines)} lines in" in told
    assert not list(tmp_path.glob("*.part"))
    assert check_without_tidemill(tmp_path / "audit.jsonl") == f"holds {anchor}"
    for name, piece in (("altered", [lines[0].replace(b"admin", b"eve", 1), *lines[1:]]), ("does not follow", lines[1:])):
        (tmp_path / "other.jsonl").write_bytes(b"\n".join(piece) + b"\n")
        assert name in check_without_tidemill(tmp_path / "other.jsonl")
    code, shown, _ = call("audit", "export")
    assert shown.encode().splitlines() == lines

    connection = sqlite3.connect(".tidemill/meta.db")
    with connection:
        connection.execute("UPDATE audit SET who = 'person/eve' WHERE action = 'deploy'")
    connection.close()
    code, shown, _ = call("audit", "verify")
    assert (code, shown.startswith("broken  altered: ")) == (1, True)
    altered = next(number for number, line in enumerate(lines, 1) if b'"action":"deploy"' in line)
    assert f"line {altered} " in shown


def check_without_tidemill(export):
    """What the guide's script prints."""
    text = GUIDE.read_text("utf-8")
    script = re.search(r"^```python file check_audit.py\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert script is not None
    ended = subprocess.run((sys.executable, "-c", script[1], str(export)), capture_output=True, text=True, check=False)
    return ended.stdout.strip() or ended.stderr.strip().splitlines()[-1]
