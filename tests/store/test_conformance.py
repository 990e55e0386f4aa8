"""The public kit over both databases."""

import pytest
from sqlalchemy import insert, text

from tidemill.core.errors import Invalid
from tidemill.store.database import Database
from tidemill.store.tables import projects
from tidemill.testing import check_store


def test_the_database_keeps_its_promises(database):
    check_store(database)


def test_a_database_that_does_not_is_told(database):
    database.write_sync(lambda db: db.execute(text("DROP TABLE audit_heads")))
    with pytest.raises(Exception, match="audit_heads"):
        check_store(database)


def test_text_that_postgresql_cannot_keep_is_invalid(postgres_url):
    database = Database.open(postgres_url)
    with pytest.raises(Invalid, match="NUL"):
        database.write_sync(lambda db: db.execute(insert(projects), {"name": "a\0b", "created_ns": 1}))
    database.close()
