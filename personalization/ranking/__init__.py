"""The ranking pipeline: hydrate, filter, score, select, decide; each step can be read alone."""
