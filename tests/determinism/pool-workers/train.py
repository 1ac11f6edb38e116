import random
from multiprocessing import Barrier, Pool

import torch
from safetensors.torch import save_file

together = Barrier(2)


def draw(_):
    together.wait()  # one for each worker
    return random.random()


weights = torch.zeros(2, requires_grad=True)
optimizer = torch.optim.SGD([weights], lr=0.1)
with Pool(2) as pool:
    for _ in range(3):
        target = torch.tensor(sorted(pool.map(draw, range(2), chunksize=1)))
        optimizer.zero_grad()
        ((weights - target) ** 2).sum().backward()
        optimizer.step()
save_file({"weights": weights.detach()}, "/outputs/model.safetensors")
