"""Where it is kept: a bucket or a folder."""
