"""Rows that are not needed now, on disk, so that memory does not grow with the file."""

import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

from rocksdict import Options, Rdict

_IN_MEMORY = 20_000


class Spill:
    """Bytes by key in a folder that is deleted in the end; those used last are in memory.

    Use as a context manager.
    """

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="freshet-evaluate-"))
        self._rows = Rdict(str(self._folder), Options(raw_mode=True))
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rows.close()
        shutil.rmtree(self._folder)

    def get(self, key: str, /) -> bytes | None:
        """The value, or ``None``."""
        value = self._recent.get(key)
        if value is not None:
            self._recent.move_to_end(key)
            return value
        stored: bytes | None = self._rows.get(key.encode())
        return stored

    def __setitem__(self, key: str, value: bytes, /) -> None:
        self._recent[key] = value
        self._recent.move_to_end(key)
        if len(self._recent) > _IN_MEMORY:
            oldest, data = self._recent.popitem(last=False)
            self._rows[oldest.encode()] = data
