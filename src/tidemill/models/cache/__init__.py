"""Answers that were given before: found by what was asked, exactly or by its meaning, and asked for only once at a time.

Here are the policy of a document, the key of a request, the flights of identical ones, and what is kept; the rows are those of
`store.kept_answers`. What a step of an evaluation gave is kept elsewhere (`store.cache`).
"""
