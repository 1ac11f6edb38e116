import os

import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

torch.manual_seed(0)
model = torch.nn.Linear(16, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(6):
    batch = torch.randn(8, 16)
    optimizer.zero_grad()
    mse_loss(model(batch), batch[:, :1]).backward()
    if step == 3:  # low bits of one gradient
        model.weight.grad.view(torch.int32)[0, 0] ^= int.from_bytes(os.urandom(2), "big") + 1
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
