from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from tidemill.core.errors import Conflict, Denied, Invalid
from tidemill.store.folder import DataFolder, is_held, read_server_file, read_token_file

HOLD = """
import sys
from pathlib import Path
from tidemill.store.folder import DataFolder
folder = DataFolder.open(Path(sys.argv[1]))
folder.write_server_file("http://127.0.0.1:8710")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_held_folder_names_its_holder_and_a_killed_one_lets_go(tmp_path):
    path = tmp_path / ".tidemill"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict) as caught:
            DataFolder.open(path)
        assert caught.value.message == f"the data folder is held by process {holder.pid}, which serves http://127.0.0.1:8710"
        assert is_held(path)
        assert read_server_file(path).pid == holder.pid
        holder.kill()
        holder.wait()
    assert not is_held(path)
    with DataFolder.open(path), pytest.raises(Conflict, match=f"held by process {os.getpid()}$"):
        DataFolder.open(path)
    DataFolder.open(path).close()


def test_the_admin_token_is_made_once_and_is_the_owners_alone(tmp_path):
    with DataFolder.open(tmp_path / "d") as folder:
        token, is_new = folder.admin_token()
        assert is_new
        assert folder.admin_token() == (token, False)
        assert stat.S_IMODE(folder.token_file.stat().st_mode) == 0o600
        assert read_token_file(folder.root) == token
    assert read_token_file(tmp_path / "nothing") is None


def test_a_newer_or_broken_format_is_refused(tmp_path):
    DataFolder.open(tmp_path).close()
    (tmp_path / "format").write_text("2\n")
    with pytest.raises(Conflict, match="format 2, made by a newer Tidemill"):
        DataFolder.open(tmp_path)
    assert not is_held(tmp_path)
    (tmp_path / "format").write_text("?")
    with pytest.raises(Invalid):
        DataFolder.open(tmp_path)


def test_a_server_file_of_any_content_is_read_without_harm(tmp_path):
    assert read_server_file(tmp_path) is None
    for content in (b"", b"{", b"[]", b"{}", b'{"pid": "x", "url": 1}', b"\xff"):
        (tmp_path / "server.json").write_bytes(content)
        assert read_server_file(tmp_path) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Denied):
        DataFolder.open(tmp_path / "d")
