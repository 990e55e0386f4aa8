"""Where the database is said to be: a URL, or where one is kept; and a password that is shown nowhere."""

import pytest

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.settings import load_settings

URL = "postgresql://ana:hush@db.example.com/tide"


def test_it_is_read_from_the_environment_a_variable_or_a_file(tmp_path):
    assert load_settings(tmp_path, {}).database_url() is None
    settings = load_settings(tmp_path, {"TIDEMILL_DATABASE": URL, "TIDEMILL_BLOBS": "shared"})
    assert (settings.database_url(), settings.blobs) == (URL, tmp_path / "shared")
    assert "hush" not in repr(settings)
    (tmp_path / "secret").write_text(f"{URL}\n")
    assert load_settings(tmp_path, {"TIDEMILL_DATABASE": f"file:{tmp_path}/secret"}).database_url() == URL


def test_a_variable_that_is_named_is_read(tmp_path, monkeypatch):
    (tmp_path / "tidemill.toml").write_text('database = "env:MY_DATABASE"\nblobs = "elsewhere"\n')
    settings = load_settings(tmp_path, {})
    assert settings.blobs == tmp_path / "elsewhere"
    monkeypatch.delenv("MY_DATABASE", raising=False)
    with pytest.raises(NotFound, match="MY_DATABASE names no database"):
        settings.database_url()
    monkeypatch.setenv("MY_DATABASE", URL)
    assert settings.database_url() == URL


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ana:hush@host/db",
        "postgresql:hush",
        "postgresql://ana:hush@host",
        "hush",
        "postgresql://host:hush/db",
        "://hush",
    ],
)
def test_what_is_no_url_is_refused_without_repeating_it(tmp_path, url):
    with pytest.raises(Invalid) as caught:
        load_settings(tmp_path, {"TIDEMILL_DATABASE": url}).database_url()
    assert caught.value.where == "TIDEMILL_DATABASE"
    assert "hush" not in f"{caught.value} {caught.value.hint}"


def test_a_file_that_is_shared_holds_no_password(tmp_path):
    for url in (URL, "postgresql://db.example.com/tide?password=hush"):
        (tmp_path / "tidemill.toml").write_text(f'database = "{url}"\n')
        with pytest.raises(Invalid, match="carries a password") as caught:
            load_settings(tmp_path, {})
        assert "hush" not in f"{caught.value} {caught.value.hint}"


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(NotFound, match="cannot be read"):
        load_settings(tmp_path, {"TIDEMILL_DATABASE": f"file:{tmp_path}/nowhere"}).database_url()
