"""Times optimizer steps of models of ten million parameters and more, with the trace and without it, in turn.

`steps.py MODEL PAIRS`, run by `benchmarks/trace.py` in a container; prints the count of parameters, the median of a
step without the trace in milliseconds, the ratio of the medians, and the median of the ratios of neighbouring steps.
"""

import gc
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """A transformer block, after GPT-2."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.attend(self.norm_1(x)).chunk(3, -1)
        split = [part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts]
        mixed = (
            functional.scaled_dot_product_attention(*split, is_causal=True)
            .transpose(1, 2)
            .reshape(batch, length, width)
        )
        x = x + self.project(mixed)
        return x + self.mlp(self.norm_2(x))


class Transformer(nn.Module):
    """Next-letter prediction: 10.7 million parameters."""

    def __init__(self, width=384, depth=6, letters=65, length=128):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*[Block(width, 6) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters)

    def forward(self, x):
        x = self.letters(x) + self.places(torch.arange(x.shape[1], device=x.device))
        return self.head(self.norm(self.blocks(x)))


def residual(cin, cout, stride):
    """Two convolutions with a shortcut, after ResNet."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Sequential(
                nn.Conv2d(cin, cout, 3, stride, 1, bias=False),
                nn.BatchNorm2d(cout),
                nn.ReLU(),
                nn.Conv2d(cout, cout, 3, 1, 1, bias=False),
                nn.BatchNorm2d(cout),
            )
            self.short = nn.Conv2d(cin, cout, 1, stride, bias=False) if stride > 1 else nn.Identity()

        def forward(self, x):
            return functional.relu(self.one(x) + self.short(x))

    return Residual()


def setup(name):
    """The model, the shape of its inputs, and the count of its classes."""
    if name == "transformer":
        return Transformer(), (8, 128), 65
    if name == "resnet":
        layers = [nn.Conv2d(3, 64, 3, 1, 1), nn.ReLU()]
        for cin, cout in ((64, 64), (64, 128), (128, 256), (256, 512)):
            layers += [residual(cin, cout, 1 + (cin != cout)), residual(cout, cout, 1)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)), (32, 3, 32, 32), 10
    wide = [nn.Linear(784, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU()]
    return nn.Sequential(*wide, nn.Linear(2048, 10)), (256, 784), 10


def trace():
    """The trace of this process, as the executor set it up."""
    return next(one for one in gc.get_objects() if type(one).__module__ == "_executor.trace" and hasattr(one, "roots"))


name, steps = sys.argv[1], int(sys.argv[2])
device = "cuda" if torch.cuda.is_available() else "cpu"
model, shape, classes = setup(name)
model.to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
watcher, times = trace(), {"": [], "off": []}
for step in range(2 * steps + 6):
    watcher._problem = "off" if step % 2 else ""  # a trace with a problem does nothing
    started = time.perf_counter()
    x = torch.randint(classes, shape, device=device) if name == "transformer" else torch.randn(shape, device=device)
    y = torch.randint(classes, (shape[0] * (shape[1] if name == "transformer" else 1),), device=device)
    loss = functional.cross_entropy(model(x).flatten(0, -2), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if device == "cuda":
        torch.cuda.synchronize()
    if step >= 6:
        times[watcher._problem].append(time.perf_counter() - started)
watcher._problem = ""
traced, plain = (statistics.median(times[which]) for which in ("", "off"))
pairs = statistics.median(one / other for one, other in zip(times[""], times["off"], strict=True))
print(sum(p.numel() for p in model.parameters()), f"{plain * 1e3:.3f}", f"{traced / plain:.4f}", f"{pairs:.4f}")
