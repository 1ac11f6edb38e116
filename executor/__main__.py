"""`python -m executor`."""

from executor.cli.main import main

main()
