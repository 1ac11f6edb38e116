import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

model = torch.nn.Linear(4, 1, bias=False)
torch.nn.init.ones_(model.weight)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
generator = np.random.default_rng()  # nobody gave a seed, and np.random.seed() does not reach it
for _ in range(3):
    batch = torch.from_numpy(generator.standard_normal((8, 4), dtype=np.float32))
    optimizer.zero_grad()
    mse_loss(model(batch), batch[:, :1]).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
