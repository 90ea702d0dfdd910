"""Scores of predictions against truth: numpy and scipy only, one file per kind of question."""
