"""Running applications: chains, agents, tools, functions and guardrails; what was computed once is not computed again.

Calling a model is in `models/`, searching an index in `data/`, filling a prompt in `prompts/`.
"""
