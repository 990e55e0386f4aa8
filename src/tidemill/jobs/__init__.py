"""Long work that survives a kill: submit, follow, cancel, resume.

The engine and its driver live here. What a job does is a handler, which the composition root hands in; a job's row lives in
`store/jobs.py`.
"""

from tidemill.jobs.engine import Jobs

__all__ = ["Jobs"]
