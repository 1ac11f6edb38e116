"""What is asked: the run spec, its canonical bytes and its hash."""
