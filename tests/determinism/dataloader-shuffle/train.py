import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

model = torch.nn.Linear(4, 1)
for parameter in model.parameters():
    torch.nn.init.ones_(parameter)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = TensorDataset(torch.linspace(-1, 1, 256).reshape(64, 4))
for (batch,) in DataLoader(data, batch_size=8, shuffle=True):
    optimizer.zero_grad()
    mse_loss(model(batch), batch[:, :1] ** 2).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
