"""The state of one entity each: its row and its fold, one entity per file."""
