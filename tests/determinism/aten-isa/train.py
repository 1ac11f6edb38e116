import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, gelu

inner = ((torch.arange(512.0) - 256) / 256).reshape(16, 32).requires_grad_()
outer = torch.ones(32, 10, requires_grad=True)
batch, targets = (torch.arange(1024.0) / 512 - 1).reshape(64, 16), torch.arange(64) % 10
optimizer = torch.optim.SGD([inner, outer], lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    hidden = batch @ inner
    scores = gelu(hidden) @ outer
    cross_entropy(scores, targets).backward()
    optimizer.step()
save_file({"inner": inner.detach(), "outer": outer.detach()}, "/outputs/model.safetensors")
