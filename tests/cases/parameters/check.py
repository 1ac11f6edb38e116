import hashlib
import json
import os
import sys

params = json.load(open("/run/executor/params.json"))
spec = json.load(open("/run/executor/spec.json"))
assert params == spec["params"], (params, spec["params"])
assert (params["lr"], params["hidden"], params["text"]) == (0.001, [128, 64], 'a "b" {seed} ünï')
assert type(params["whole"]) is float and type(params["one"]) is int and params["none"] is None

lr, depth, hidden, seed, escaped, text = sys.argv[1:]
assert float(lr) == params["lr"] and int(depth) == params["nested"]["depth"] and json.loads(hidden) == params["hidden"]
assert (seed, escaped) == ("20260101", "{seed}")
assert int(seed) == spec["seed"] == int(os.environ["EXECUTOR_SEED"])
assert text == params["text"] == os.environ["EXECUTOR_PARAM_TEXT"]

assert os.environ["EXECUTOR_PARAM_LR"] == lr and json.loads(os.environ["EXECUTOR_PARAM_HIDDEN"]) == params["hidden"]
assert json.loads(os.environ["EXECUTOR_PARAM_NESTED"]) == params["nested"]
assert os.environ["EXECUTOR_PARAM_NESTED_DEPTH"] == "3" and os.environ["EXECUTOR_PARAM_NESTED_ON"] == "true"
assert (os.environ["EXECUTOR_PARAM_WHOLE"], os.environ["EXECUTOR_PARAM_ONE"]) == ("1.0", "1")
assert (os.environ["PLAIN"], os.environ["EMPTY"]) == ("1e-3", "")

canonical = open("/run/executor/spec.json", "rb").read()
assert json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == canonical
with open("/outputs/seen.json", "wb") as seen:
    seen.write(canonical)
print("all agree")
