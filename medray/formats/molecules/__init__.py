"""Molecules as arrays: what formats of compounds share."""
