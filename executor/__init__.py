"""Reproducible-run executor: a spec is run in a pinned container, kept under its hash, and run again bit for bit."""

__version__ = "0.1.0"
