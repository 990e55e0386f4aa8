"""File formats, connectors, and the engines behind vector and full-text search; each is a file that can be replaced."""
