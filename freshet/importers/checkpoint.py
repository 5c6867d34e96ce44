"""How far an import has come, in a small file that a kill never leaves half written."""

import hashlib
import os
from pathlib import Path

import msgspec

_FOLDER = "imports"


class Done(msgspec.Struct):
    """Everything before line ``lines`` is acknowledged: counts so far, and the last token."""

    digest: str
    lines: int = 0
    taken: int = 0
    skipped: dict[str, int] = {}
    token: str | None = None


class CheckpointError(Exception):
    """A checkpoint that cannot be read, or is another input's."""


class Checkpoint:
    """The file ``path``, of the input named ``digest``."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self._digest = digest

    def load(self) -> Done:
        """What was saved; nothing done if nothing was. Raises ``CheckpointError``."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return Done(self._digest)
        try:
            done = msgspec.json.decode(text, type=Done)
        except msgspec.DecodeError as error:
            raise CheckpointError(f"{self.path} is not a checkpoint: {error}") from error
        if done.digest != self._digest:
            raise CheckpointError(f"{self.path} is the checkpoint of another input")
        return done

    def save(self, done: Done) -> None:
        """Replace the file, all at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(self.path.name + ".new")
        new.write_bytes(msgspec.json.encode(done))
        new.replace(self.path)

    def forget(self) -> None:
        """Start over next time."""
        self.path.unlink(missing_ok=True)


def beside_data(data: Path, digest: str) -> Path:
    """Where the checkpoint of an import into a data folder is: within it."""
    return data / _FOLDER / f"{digest}.json"


def of_server(url: str, digest: str) -> Path:
    """Where the checkpoint of an import into a server is: in the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    server = hashlib.blake2b(url.encode(), digest_size=4).hexdigest()
    return Path(state) / "freshet" / _FOLDER / f"{digest}-{server}.json"
