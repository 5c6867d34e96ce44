"""Specs that work as they are."""

from personalization.presets.marketplace import marketplace

__all__ = ["marketplace"]
