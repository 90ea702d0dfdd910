"""Networks over sequences of events."""
