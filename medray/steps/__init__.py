"""The kinds of step: a folder each, and `base` which all stand on. See medray.spec.kinds."""
