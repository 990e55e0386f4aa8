"""The control plane's routes, thin, a file a use case. What they do lives below; what wires them lives in `app.py`."""
