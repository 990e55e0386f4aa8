"""What each library does while it is recorded, one file a library; see `scripts/record_traces.py`."""
