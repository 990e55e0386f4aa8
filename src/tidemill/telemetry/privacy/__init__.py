"""What may be kept of a span, for how long, and how it is taken away: the gate, large payloads, erasure, retention."""
