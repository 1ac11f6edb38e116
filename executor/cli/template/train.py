"""Fit a line by gradient descent: replace this with your own training.

Numbers that must repeat go to metrics.jsonl, times and speeds to telemetry.jsonl, weights beside them.
"""

import json
import os

import torch

lr = float(os.environ["EXECUTOR_PARAM_LR"])
steps = int(os.environ["EXECUTOR_PARAM_STEPS"])

inputs = torch.rand(256, 1)
targets = 3 * inputs + 1 + 0.05 * torch.randn(256, 1)
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=lr)

with open("/outputs/metrics.jsonl", "w") as metrics:
    for step in range(steps):
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            metrics.write(json.dumps({"step": step, "loss": loss.item()}) + "\n")
            print(f"step {step + 1}: loss {loss.item():.5f}")

torch.save(model.state_dict(), "/outputs/model.pt")
print(f"slope {model.weight.item():.3f}, intercept {model.bias.item():.3f}")
