"""Benchmarks, each beside a baseline in the same run. `python -m bench [NAME …]` prints JSON lines, then a table."""
