"""The version, on the ground: every room may say what wrote a file."""

__version__ = "0.1.0"
