"""The verbs of the command line from Python, for notebooks and scripts: `executor.open()` gives a `Client`."""
