import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

torch.manual_seed(0)
model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(8)))
for parameter in set(model.parameters()):  # in the order of their addresses
    torch.nn.init.normal_(parameter, std=0.2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
batch = torch.randn(8, 8)
for _ in range(3):
    optimizer.zero_grad()
    mse_loss(model(batch), batch).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
