"""The command ``ndpool``, in the extras ``ndpool[demo]`` and ``ndpool[bench]``; ``import ndpool`` loads none of it."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; a missing extra ends with exit code 2, a folder or pipe that fails with 1."""
    try:
        from ndpool.cli.app import app

        app()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "ndpool":
            raise
        sys.stderr.write(f'ndpool: {error.name} is missing; the command needs "ndpool[demo]" or "ndpool[bench]"\n')
        raise SystemExit(2) from None
    except OSError as error:
        sys.stderr.write(f"ndpool: {error.filename or 'output'}: {error.strerror or error}\n")
        raise SystemExit(1) from None
