"""What happened: records, and their comparison. Pure: no I/O."""
