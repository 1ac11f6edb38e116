"""What runs in the container: standard library and torch only."""
