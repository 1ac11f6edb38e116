"""What is timed: whole jobs against what people would do without us, in the same run."""
