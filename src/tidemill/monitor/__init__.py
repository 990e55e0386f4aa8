"""Watching: live traffic against a reference, scores of live traces, alert rules and what they set off.

Statistics here are pure functions over arrays. What is stored lives in `store`; what judges a release before it serves is in
`evaluation`; what decides a rollout is in `serve`.
"""
