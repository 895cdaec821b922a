"""``python -m ndpool.cli``: the command without its entry point."""

from ndpool.cli import main

main()
