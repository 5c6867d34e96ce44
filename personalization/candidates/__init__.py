"""Where candidates come from when the caller brings none: one source per file."""
