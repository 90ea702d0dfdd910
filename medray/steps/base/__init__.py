"""What every kind of step stands on: how one is checked, resolved, planned, run and told of."""
