"""A program on a terminal of its own, and somebody who types."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SIZE = struct.pack("HHHH", 50, 1000, 0, 0)  # rows, columns: so wide that no line breaks


class Terminal:
    """Runs `command`, for at most `seconds`, and collects what it shows."""

    def __init__(
        self, command: list[str], env: dict[str, str], *, cwd: str = ".", seconds: float = 120
    ) -> None:
        self._deadline = time.monotonic() + seconds
        self._shown = b""
        self._expected = 0
        self.pid, self._file = pty.fork()
        if self.pid == 0:  # the child
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSWINSZ, _SIZE)
            os.chdir(cwd)
            os.execvpe(command[0], command, env)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Takes the terminal away, and ends the program if it has not ended."""
        os.close(self._file)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    @property
    def raw(self) -> str:
        """All that was shown."""
        return self._shown.decode("utf-8", errors="replace")

    @property
    def text(self) -> str:
        """The same without escape sequences."""
        return _ESCAPE.sub("", self.raw).replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        """Sends keys: Enter is "\\r", Ctrl-C "\\x03", Ctrl-D "\\x04"."""
        os.write(self._file, keys.encode())

    def expect(self, text: str) -> str:
        """Waits for `text` behind what was expected before, and returns what is in front of it.

        AssertionError if the program ends or the time is over before that.
        """
        while True:
            found = self.text.find(text, self._expected)
            if found >= 0:
                before = self.text[self._expected : found]
                self._expected = found + len(text)
                return before
            if not self._read():
                raise AssertionError(f"expected {text!r}, got {self.text[self._expected :]!r}")

    def expect_more(self, characters: int) -> None:
        """Waits until that much more is shown."""
        enough = len(self.text) + characters
        while len(self.text) < enough:
            assert self._read(), f"expected more, got {self.text!r}"

    def exit_code(self) -> int:
        """Waits for the end of the program. AssertionError if the time is over before that."""
        while self._read():
            pass
        assert time.monotonic() < self._deadline, f"did not end, got {self.text!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        left = self._deadline - time.monotonic()
        if not select.select([self._file], [], [], max(0, left))[0]:
            return False
        try:
            data = os.read(self._file, 1 << 16)
        except OSError:  # the program has ended
            return False
        self._shown += data
        return bool(data)
