"""Keeps what needs machines of its own out of a run where none can be made; tests/conftest.py says so at the start."""

from tests.hosts.lab import find_obstacle

collect_ignore = [] if find_obstacle() is None else ["test_institutions.py", "test_lab.py"]
