"""What `executor init` writes."""
