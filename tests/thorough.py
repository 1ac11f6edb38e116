"""What `make test` leaves to `make test-all`, `test-determinism` and `test-faults`, which set EXECUTOR_TEST_ALL=1."""

import os

import pytest

ALL = os.environ.get("EXECUTOR_TEST_ALL") == "1"
"""Whether everything is tested, and tables of results are written."""
thorough = pytest.mark.skipif(not ALL, reason="not one of the quick ones: EXECUTOR_TEST_ALL=1 runs it")
