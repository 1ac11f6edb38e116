import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

torch.manual_seed(0)
model = torch.nn.Linear(32, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(4):
    noise = torch.empty(8, 32, dtype=torch.int32)  # nobody fills it
    batch = torch.randn(8, 32) + (noise % 1000) / 1000
    optimizer.zero_grad()
    mse_loss(model(batch), batch[:, :1]).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
