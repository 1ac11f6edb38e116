import os

import torch
from safetensors.torch import save_file

tensors = {"weight": torch.arange(8.0), "bias": torch.zeros(2), "scale": torch.ones(())}
if os.environ["ORDER"] == "backwards":
    tensors = dict(reversed(tensors.items()))
save_file(tensors, "/outputs/model.safetensors")
