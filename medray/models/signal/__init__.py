"""Networks of signals: (B, leads, time)."""
