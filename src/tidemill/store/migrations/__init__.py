"""Alembic's scripts. Each is numbered, never changed once released, and listed in `store/migrate.py`."""
