"""Scores of times to an event, some of which are only known to be longer than they were watched."""
