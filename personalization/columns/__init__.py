"""The columnar state that rankings read: items, sellers, segments, catalogue, in memory."""

from personalization.columns.columns import Columns
from personalization.columns.interner import Interner
from personalization.columns.views import view_of

__all__ = ["Columns", "Interner", "view_of"]
