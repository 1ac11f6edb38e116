import torch
from safetensors.torch import save_file

about = {name: name.upper() for name in ("epoch", "author", "licence", "data", "framework", "task", "loss", "size")}
save_file({"weights": torch.arange(8.0)}, "/outputs/model.safetensors", metadata=about)
