"""Spans on their way to the span store: a log on disk, its frames and segments, and what moves them on."""
