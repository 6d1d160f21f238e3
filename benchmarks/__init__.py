"""Comparisons of brrrd with its peers, each in one run, as ratios. Not tests: nothing passes or fails by time."""
