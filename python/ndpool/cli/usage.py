"""What is said of a command line that is wrong: one line on standard error, and exit code 2."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

#: What Click raises for a wrong command line; Typer has Click inside or beside it, depending on its version.
_UsageError: Any = typer.BadParameter.__mro__[1]


class OneLineGroup(TyperGroup):
    """Commands whose usage errors are one line, where Typer would draw a box."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Read the options before the command."""
        try:
            return super().make_context(info_name, args, *rest, **extra)
        except _UsageError as error:
            raise _refused(None, error) from None

    def invoke(self, ctx: Any) -> Any:
        """Read the options of the command and run it."""
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            raise _refused(ctx.invoked_subcommand, error) from None


def say(command: str | None, text: str) -> None:
    """Say in one line what went wrong with a command."""
    name = " ".join(["ndpool", *([command] if command else [])])
    typer.echo(f"{name}: {' '.join(text.split())}", err=True)


def _refused(command: str | None, error: Any) -> Any:
    """Say what is wrong with the command line; return what ends the command."""
    if type(error).__name__ == "NoArgsIsHelpError":  # which shows the help
        return error
    say(command, error.format_message().rstrip("."))
    return typer.Exit(2)
