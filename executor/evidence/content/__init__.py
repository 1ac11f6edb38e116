"""Why two versions of one output file differ, read from their bytes. Pure: no I/O, and nothing in them is executed."""
