"""``ndpool info``: what this installation is, and what it can use."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from rich.table import Table

import ndpool

if TYPE_CHECKING:
    from rich.console import Console

#: Packages that some part of ndpool uses if they are there.
OPTIONAL = (
    "bottleneck",
    "jax",
    "matplotlib",
    "ml_dtypes",
    "numba",
    "onnx",
    "onnxruntime",
    "opencv-python-headless",
    "openvino",
    "pillow",
    "rich",
    "scikit-image",
    "scipy",
    "tensorflow-cpu",
    "torch",
    "typer",
    "xarray",
)


def run(as_json: bool, console: Console) -> int:
    """Print the configuration and the versions of optional packages; the exit code is 0."""
    config = ndpool.show_config()
    packages = {name: _version(name) for name in OPTIONAL}
    if as_json:
        console.out(json.dumps(config | {"packages": packages}), highlight=False)
        return 0
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in config.items():
        table.add_row(name.replace("_", " "), ", ".join(value) if isinstance(value, list) else str(value))
    installed = [f"{name} {found}" for name, found in packages.items() if found]
    missing = [name for name, found in packages.items() if not found]
    table.add_row("packages", ", ".join(installed) or "none")
    table.add_row("not installed", ", ".join(missing) or "none")
    console.print(table, highlight=False)
    return 0


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
