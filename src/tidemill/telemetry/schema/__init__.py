"""The tables of the span store, a file a part; each brings its own steps."""
