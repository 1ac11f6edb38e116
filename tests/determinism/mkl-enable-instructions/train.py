import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(256, 64), torch.nn.GELU(), torch.nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
batch, targets = torch.randn(32, 256), torch.randn(32, 1)
for _ in range(3):
    optimizer.zero_grad()
    mse_loss(model(batch), targets).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
