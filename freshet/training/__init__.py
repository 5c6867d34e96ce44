"""``freshet train``: reads a log, learns, and has what is better serve."""
