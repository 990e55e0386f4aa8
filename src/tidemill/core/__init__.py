"""Ideas every floor shares: references, digests, records, errors, settings, and every extension Protocol.

Nothing here talks to a network, a database or a model, and nothing here imports another tidemill package.
"""
