import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters())
batch, targets = torch.randn(32, 16), torch.randn(32, 1)
for _ in range(3):
    optimizer.zero_grad()
    mse_loss(model(batch), targets).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
