"""The folder that `tidemill instrument` puts first in PYTHONPATH: Python runs its `sitecustomize` at the start of a program."""
