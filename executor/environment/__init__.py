"""Where it runs: facts of host and GPU, and the checks of them against a spec."""
