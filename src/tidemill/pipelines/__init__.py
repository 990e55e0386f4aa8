"""Pipelines: steps over the platform's use cases, durable, cached, retried, scheduled.

The kind `pipeline`, what its steps may be (`forms.py`), and the service that runs it live here. What a step does is a handler,
which the composition root hands in; rows live in `store/pipelines.py`, the clock in `jobs/schedules.py`.
"""
