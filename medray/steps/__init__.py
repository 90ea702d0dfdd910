"""Kinds of step: what a job may ask for."""
