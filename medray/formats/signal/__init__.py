"""What recordings of signals share, whatever file they come from."""
