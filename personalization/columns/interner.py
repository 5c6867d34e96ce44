"""Texts as small integers."""


class Interner:
    """Gives every text a code, from 0 on, in the order of first sight; none is ever forgotten.

    >>> texts = Interner()
    >>> texts.intern("shoes"), texts.intern("bags"), texts.intern("shoes")
    (0, 1, 0)
    >>> texts.text(1)
    'bags'
    """

    __slots__ = ("_texts", "codes")

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self._texts: list[str] = []

    def intern(self, text: str) -> int:
        """The code of ``text``, a new one if it was never seen."""
        code = self.codes.setdefault(text, len(self._texts))
        if code == len(self._texts):
            self._texts.append(text)
        return code

    def text(self, code: int) -> str:
        """The text of ``code``. Raises ``IndexError`` where there is none."""
        if code < 0:
            raise IndexError(f"no text has code {code}")
        return self._texts[code]
