"""The conductor's end of a library's process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ndpool.bench.worker import environment

#: How long to wait, at most, until the threads of the last turn are quiet.
QUIET = 0.5


class LibraryError(Exception):
    """A library raised something, or its process ended."""


class EndedError(LibraryError):
    """The process of a library ended."""


class Library:
    """The process of a library, which waits for requests."""

    def __init__(self, name: str, threads: int, log: Path) -> None:
        self.name, self._log = name, log
        with log.open("w") as chatter:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                # -P: a folder named torch where the command was typed is not PyTorch.
                [sys.executable, "-P", "-m", "ndpool.bench.worker", name, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=chatter,
                text=True,
                env={**os.environ, **environment(threads)},
            )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise EndedError(f"{self.name}: its process has no pipes")
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError):  # its end of the pipe is closed, or ours
            line = ""
        if not line:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            words = [f"{self.name}: its process ended with code {self._process.wait()} at {do!r}", *last]
            raise EndedError("; ".join(words))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LibraryError(answer["error"])
        return answer

    def settle(self) -> None:
        """Wait until no thread of the process runs."""
        tasks, end = Path(f"/proc/{self._process.pid}/task"), time.monotonic() + QUIET
        while tasks.is_dir() and time.monotonic() < end:
            try:
                states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
            except OSError:  # a thread ended meanwhile
                continue
            if "R" not in states:
                return
            time.sleep(0.001)

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
