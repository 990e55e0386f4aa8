"""Which model answers a request of a route: pure decisions over what was observed, with the clock and chance given.

Nothing here waits, sends or stores: `models/routed.py` makes the attempts that are decided on here.
"""
