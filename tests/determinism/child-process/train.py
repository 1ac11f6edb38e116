import subprocess
import sys

import torch
from safetensors.torch import save_file

draw = "import random; print(*(random.random() for _ in range(4)))"
weights = torch.zeros(4, requires_grad=True)
optimizer = torch.optim.SGD([weights], lr=0.1)
for _ in range(3):
    words = subprocess.run([sys.executable, "-c", draw], capture_output=True, text=True, check=True).stdout.split()
    target = torch.tensor([float(word) for word in words])
    optimizer.zero_grad()
    ((weights - target) ** 2).sum().backward()
    optimizer.step()
save_file({"weights": weights.detach()}, "/outputs/model.safetensors")
