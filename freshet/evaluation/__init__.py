"""``freshet evaluate``: reading files and logs, running the pass, reporting."""
