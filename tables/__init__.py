"""State at rest: row codecs, batch writes, bulk folds, and the replicas that rankings read."""
