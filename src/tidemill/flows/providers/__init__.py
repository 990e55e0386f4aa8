"""Engines of others that checks run on; each imported when it is first needed, and none reaches the network."""
