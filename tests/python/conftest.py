"""Hypothesis profiles and the marker for tests that fork, interrupt or time the process.

The everyday profile ``ci`` draws the same examples every time: a run that fails has found something that the change
did. ``HYPOTHESIS_PROFILE=deep`` draws new ones, and twenty times as many.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", parent=settings.get_profile("ci"), max_examples=3000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config):
    """Make the marker of pytest-run-parallel known where that plugin is absent."""
    config.addinivalue_line("markers", "thread_unsafe: forks, sends signals or measures the whole process")
