"""Training: the loop, what it is set up from, its checkpoints, and the package that it ends in."""
