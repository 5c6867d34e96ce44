"""Evaluation: what every arm would have ranked, held against what happened next."""
