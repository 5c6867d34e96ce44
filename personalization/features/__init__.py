"""Features: one family per file, each a declaration and one vectorised function."""
