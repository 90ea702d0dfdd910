"""A modality that is no part of medray: spots, two ragged arrays of points and of marks.

A whole house of plugins in a package of its own, with an entry point each and nothing else. A spot
file is JSON: {"id", "subject", "points": [[x, y], …], "marks": [[at, colour, weight], …],
"weight"}.
"""
