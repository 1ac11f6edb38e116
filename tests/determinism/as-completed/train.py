import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss


def load(index):
    time.sleep(0.002)
    return torch.full((1, 4), index / 64)


torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with ThreadPoolExecutor(8) as pool:
    batches = [done.result() for done in as_completed([pool.submit(load, index) for index in range(64)])]
for batch in batches:
    optimizer.zero_grad()
    mse_loss(model(batch), batch[:, :1] ** 2).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
