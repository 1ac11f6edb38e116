#!/usr/bin/env bash
# The main job, end to end: lock and submit a real training, submit it again, run it again bit for bit.
set -euo pipefail
cd "$(dirname "$0")/.."
spec=specs/digits-mlp.yaml

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

step "1. Lock the draft and run it (or answer from the store, when this commit ran before)"
executor submit --lock "$spec"

hash=$(executor hash "${spec%.yaml}.lock.yaml")
step "2. Submit it again: answered from the store"
executor submit --quiet "${spec%.yaml}.lock.yaml"

step "3. Run it again, from what the store holds, and compare bit for bit"
executor rerun "$hash"

step "spec hash  $hash"
executor show --json "$hash" | python3 -c '
import json, sys
run = json.load(sys.stdin)
weights = next(file for file in run["outputs"] if file["role"] == "weights")
print("metrics   ", "  ".join(f"{name} {value}" for name, value in run["metrics"].items()))
print("agreement ", "identical in {identical} of {succeeded}".format(**run["agreement"]))
print("weights   ", weights["path"], weights["digest"])
print("in        ", run["store"])
'
short=${hash:0:12}
cat <<TEXT

Next:
  .venv/bin/executor show $short               # everything about this run
  .venv/bin/executor pull $short ./digits      # its weights and metrics, verified
  .venv/bin/executor dashboard                 # all runs, in a browser
  .venv/bin/executor init my-experiment        # a spec and a script of your own
TEXT
