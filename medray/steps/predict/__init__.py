"""A model's answers for every sample."""
