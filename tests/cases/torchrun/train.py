"""Two ranks of torchrun on one machine."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("gloo")
r = dist.get_rank()
torch.manual_seed(0)
m = DDP(nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4)))
o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
torch.manual_seed(r)
for i in range(10):
    x, y = torch.randn(16, 32), torch.randint(4, (16,))
    o.zero_grad()
    nn.functional.cross_entropy(m(x), y).backward()
    o.step()
if r == 0:
    torch.save(m.module.state_dict(), "/outputs/model.pt")
dist.destroy_process_group()
