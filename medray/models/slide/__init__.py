"""Networks of slides."""
