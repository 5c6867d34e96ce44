"""The Faust app: topics, and one thin agent per file that decodes, folds and writes."""
