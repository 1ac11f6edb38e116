import argparse
import json
import time

import torch
from safetensors.torch import save_file
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--steps", type=int)
arguments = parser.parse_args()

model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Dropout(0.2), nn.Linear(32, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr)
with open("/outputs/metrics.jsonl", "w") as metrics, open("/outputs/telemetry.jsonl", "w") as telemetry:
    for step in range(arguments.steps):
        x = torch.randn(64, 16)
        loss = ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        metrics.write(json.dumps({"step": step, "loss": loss.item()}) + "\n")
        telemetry.write(json.dumps({"step": step, "time": time.time()}) + "\n")
save_file(model.state_dict(), "/outputs/model.safetensors")
torch.save(model.state_dict(), "/outputs/model.pt")
print(f"trained for {arguments.steps} steps")
