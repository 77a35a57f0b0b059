"""`-o FILE`: a result written whole or not at all.

Problem: whoever reads the file must see the old content or the new, never half of it, also
after a crash. Way: a new file in the same folder, written, flushed to the disk, given the old
one's mode, and renamed over it; then the folder is flushed, as POSIX asks for the rename to last.
A link stays a link: what it leads to is replaced.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

_NEW: Final = 0o666  # less the umask


class Output:
    """The file for a result, as the user named it."""

    __slots__ = ("_path", "name")

    def __init__(self, name: str) -> None:
        """Take the name; links are followed."""
        self.name = name
        self._path = Path(os.path.realpath(name))

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Output {self.name!r}>"

    def check(self) -> None:
        """Raise OSError with what is known before: no folder, no permission, no regular file."""
        mode = self._mode()
        if mode is not None and not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file; use > instead of -o"
            raise OSError(f"it is {kind}")
        if mode is not None and not os.access(self._path, os.W_OK):
            raise PermissionError("it is write-protected")
        if not self._path.parent.is_dir():
            raise OSError(f"there is no folder {self._path.parent}")
        part = self._begun(b"")
        part.unlink()

    def write(self, text: str) -> None:
        """Write the whole text; raise OSError and leave everything as it was where that fails."""
        part = self._begun(text.encode("utf-8", "backslashreplace"))
        try:
            mode = self._mode()
            if mode is not None:
                part.chmod(stat.S_IMODE(mode))
            part.replace(self._path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        self._flush_folder()

    def _mode(self) -> int | None:
        try:
            return self._path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _begun(self, data: bytes) -> Path:
        """Make a file beside the target and bring the bytes to the disk."""
        part = self._path.with_name(f".{self._path.name[:60]}.{token_hex(4)}.part")
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _NEW)
        try:
            with os.fdopen(opened, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return part

    def _flush_folder(self) -> None:
        with suppress(OSError):  # some file systems cannot; the file itself is on the disk
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
