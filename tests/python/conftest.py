"""Hypothesis profiles and the marker for tests that fork, interrupt or time the process.

``HYPOTHESIS_PROFILE=deep`` runs twenty times as many examples as the everyday profile ``ci``.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("ci", max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", parent=settings.get_profile("ci"), max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config):
    """Make the marker of pytest-run-parallel known where that plugin is absent."""
    config.addinivalue_line("markers", "thread_unsafe: forks, sends signals or measures the whole process")
