"""Rows that are not needed now, on disk, so that memory does not grow with the file."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from rocksdict import Options, Rdict


class Spill:
    """Bytes by key in a folder that is deleted in the end. Use as a context manager."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="freshet-evaluate-"))
        self._rows = Rdict(str(self._folder), Options(raw_mode=True))
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
        value: bytes | None = self._rows.get(key.encode())
        return value

    def __setitem__(self, key: str, value: bytes, /) -> None:
        self._rows[key.encode()] = value
