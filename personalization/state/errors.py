"""What a fold says of a record it cannot take."""


class FoldError(ValueError):
    """A record that no row can take; the message says why. No row was changed."""
