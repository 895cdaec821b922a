"""The command ``ndpool``, in the extras ``ndpool[demo]`` and ``ndpool[bench]``; ``import ndpool`` loads none of it."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; without the extra installed, say so and end with exit code 2."""
    try:
        from ndpool.cli.app import app

        app()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "ndpool":
            raise
        sys.stderr.write(f'ndpool: {error.name} is missing; the command needs "ndpool[demo]" or "ndpool[bench]"\n')
        raise SystemExit(2) from None
