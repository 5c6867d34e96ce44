"""Specs that work as they are."""

from personalization.presets.deliberation import deliberation
from personalization.presets.marketplace import marketplace

__all__ = ["deliberation", "marketplace"]
