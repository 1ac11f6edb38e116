"""What runs in the container: standard library and torch only, Python 3.8 or newer.

The folder is mounted read-only at `/run/executor/inside`, beside `plan.json` and the writable `report/`, and is run as
a program. There it names itself `_executor`, so that no module of the user's program is shadowed by one of these.
"""
