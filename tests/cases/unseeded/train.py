import random
import uuid

import numpy as np
import torch
from torch import nn

model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(20):
    loss = model(torch.randn(32, 8)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "/outputs/model.pt")

with open("/outputs/draws.txt", "w") as draws:
    print(random.random(), random.Random().random(), random.sample(range(1000), 5), file=draws)
    print(np.random.rand(3), np.random.permutation(9), file=draws)
    print(np.random.default_rng().normal(size=3), np.random.RandomState().rand(), file=draws)
    print(torch.rand(3), torch.randperm(9), file=draws)
    print({"alpha", "beta", "gamma", "delta", "epsilon"}, hash("a string"), file=draws)
