import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(16, 1))
for parameter in model.parameters():
    torch.nn.init.ones_(parameter)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
batch = torch.linspace(-1, 1, 128).reshape(8, 16)
for _ in range(3):
    optimizer.zero_grad()
    mse_loss(model(batch), batch[:, :1]).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
