"""Replaying: a whole Freshet in memory, for evaluation, training from history, and tests."""
