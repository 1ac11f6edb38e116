"""Evidence that is signed, and who is trusted to have signed it."""
