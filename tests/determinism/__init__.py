"""The catalogue of sources of nondeterminism: one folder each, and the test that proves what is said of it."""
