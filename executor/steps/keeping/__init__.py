"""A store that loses nothing: checked, repaired, collected, copied, and holding all that a rerun needs."""
