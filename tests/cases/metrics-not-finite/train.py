import json

with open("/outputs/metrics.jsonl", "w") as metrics:
    metrics.write(json.dumps({"step": 0, "loss": 1.0, "good": 1.5, "note": "text is no metric"}) + "\n")
    metrics.write(json.dumps({"step": 1, "loss": float("nan"), "gain": float("inf"), "drop": float("-inf")}) + "\n")
    metrics.write('{"step": 2, "count": 9007199254740993}\n')
    metrics.write('[1, 2]\n{"step": 3, "lo')
