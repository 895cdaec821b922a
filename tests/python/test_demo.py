"""The command `ndpool demo`: what it checks, what it draws, and its exit code."""

import re

import ndpool
import numpy as np
import PIL.Image
import pytest
from ndpool.cli import demo
from ndpool.cli.app import app
from typer.testing import CliRunner


@pytest.fixture
def quick(monkeypatch):
    """Leave out the volumes, which take longest."""
    cases = [case for case in demo.cases() if case.group != "3d"]
    monkeypatch.setattr(demo, "cases", lambda: cases)
    return len(cases)


def ran(folder):
    return CliRunner().invoke(app, ["demo", str(folder), "--seconds", "0"])


def test_every_case_agrees_and_pictures_are_drawn(tmp_path, quick):
    result = ran(tmp_path / "pictures")
    assert result.exit_code == 0, result.output
    assert f"All {quick} operations agree with NumPy and with finite differences." in result.output
    for name in ("diagram.png", "gallery.png", "shifts.png"):
        with PIL.Image.open(tmp_path / "pictures" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_every_family_of_functions_is_shown():
    shown = {case.function for case in demo.cases()}
    assert {"conv2d", "blur_pool2d", "roi_pool", "attention_pool", "segment_pool", "coarsen", "max_pool3d"} <= shown


def test_a_wrong_result_is_named_and_is_code_1(tmp_path, monkeypatch):
    cases = [case for case in demo.cases() if case.group == "1d"]
    monkeypatch.setattr(demo, "cases", lambda: cases)
    monkeypatch.setattr(demo, "PICTURES", {})
    monkeypatch.setattr(ndpool, "avg_pool1d", ndpool.max_pool1d)
    result = ran(tmp_path)
    assert result.exit_code == 1
    assert re.search(f"^1 of {len(cases)} operations failed their check: avg_pool1d k2$", result.output, re.MULTILINE)
