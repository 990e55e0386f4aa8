"""Guardrails on the way of every call of a model: what goes in, and what comes out, whole or as a stream.

Here are how a text is looked at, what of requests and answers is text, and how long a stream is held back. A `Guardrail` tells
what its checks find; whoever compiles `kind: guardrail` makes it, and this package knows no check of its own.
"""
