"""The databases that keep spans, behind one Protocol: chDB in a process of its own, or a ClickHouse server."""
