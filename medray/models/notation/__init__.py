"""Networks of line notations."""
