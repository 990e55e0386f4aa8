"""What is kept: metadata SQL and its migrations, blobs, the registry of versions, plans, releases, keys and caches.

Every function takes a SQLAlchemy connection first, so that callers compose one transaction out of several; `Database` runs
it. Spans are kept by `telemetry`, running jobs by `jobs`.
"""
