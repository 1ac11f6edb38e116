import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 3, padding=1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
batch = targets = torch.randn(8, 3, 16, 16)
for _ in range(3):
    optimizer.zero_grad()
    mse_loss(model(batch), targets).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
