"""What may be used: requests, tokens, calls at a time and money, by key, user, team, project, endpoint and model.

State machines with the clock given (`windows`, `counting`), the rules (`rules`, `rulebook`), estimates (`estimate`), the queue
(`fair`), and `limiter`, which calls of models pass. What was used is kept by `store.usage`; prices are in `pricing`.
"""
