import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

files = sorted(Path("samples").iterdir())
random.shuffle(files)
model = torch.nn.Linear(3, 1)
for parameter in model.parameters():
    torch.nn.init.ones_(parameter)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for file in files:
    row = torch.tensor([[float(word) for word in file.read_text().split()]])
    optimizer.zero_grad()
    mse_loss(model(row), row[:, :1] ** 2).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
