"""Scripts in processes of their own, for tests that fork, interrupt, exit or look at a whole process."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LINUX_ONLY = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="forks or sends POSIX signals")


def run(script, *, options=(), environment=None, timeout=60):
    """Run ``script`` in a fresh interpreter and return the finished process, whatever its exit code."""
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(script)],
        env={**os.environ, **(environment or {})},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def output_of(script, **options):
    """Return what ``script`` prints; it must end with code 0 and say nothing on stderr."""
    done = run(script, **options)
    assert (done.returncode, done.stderr) == (0, ""), f"exit code {done.returncode}\n{done.stderr}\n{done.stdout}"
    return done.stdout


def assert_clean_failure(done):
    """Check that an ordinary exception ended the process: no signal, no Rust panic."""
    assert done.returncode == 1, f"exit code {done.returncode}\n{done.stderr}"
    assert done.stderr.startswith("Traceback")
    assert "panic" not in done.stderr.lower()


def resident_bytes():
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads_of_the_system():
    """Threads of this process, whoever made them."""
    return len(list(Path("/proc/self/task").iterdir()))
