import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

torch.manual_seed(0)
model = torch.nn.Linear(48, 48)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
batch = targets = torch.arange(384.0).reshape(8, 48) / 512
for _ in range(3):
    optimizer.zero_grad()
    mse_loss(model(batch), targets).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
