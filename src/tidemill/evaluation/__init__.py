"""Evaluation: scorers, metrics with their uncertainty, paired comparison, gates, and the harness that runs a dataset.

Statistics here are pure functions over arrays. What runs an application lives in `flows`; what stores results in `store`.
"""
