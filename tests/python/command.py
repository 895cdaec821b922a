"""The command, as the tests run it: in this process or in one of its own."""

import subprocess
import sys

import numpy as np
import PIL.Image
from ndpool.cli.app import app
from typer.testing import CliRunner


def ran(*arguments):
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeeded(*arguments):
    result = ran(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def failed(code, *arguments):
    """Run a command that has to fail; return the one line that it says, without the command."""
    result = ran(*arguments)
    assert result.exit_code == code, result.output
    assert not isinstance(result.exception, ValueError | TypeError | OSError)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    command, colon, text = lines[0].partition(": ")
    assert colon
    assert command in ("ndpool", f"ndpool {arguments[0]}")
    return text


def written(folder, name, array):
    """Write a file to read from."""
    path = folder / name
    np.save(path, array) if path.suffix == ".npy" else PIL.Image.fromarray(array).save(path)
    return path


def pixels(path):
    with PIL.Image.open(path) as picture:
        return np.asarray(picture)


def process(*arguments, **options):
    """Run the command as a person does; warnings are errors."""
    command = [sys.executable, "-W", "error", "-m", "ndpool.cli", *map(str, arguments)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=120, **options)
