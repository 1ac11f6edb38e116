import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Noise(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        row = [index, random.random(), np.random.rand(), torch.rand(()).item(), np.random.default_rng().random()]
        return torch.tensor(row, dtype=torch.float64)


if __name__ == "__main__":
    with open("/outputs/batches.txt", "w") as batches:
        for method in ("fork", "spawn"):
            loader = DataLoader(Noise(), batch_size=4, shuffle=True, num_workers=2, multiprocessing_context=method)
            for epoch in range(2):
                rows = torch.cat(list(loader))
                print(method, epoch, rows.tolist(), file=batches)
                drawn = rows[:, 1:].flatten().tolist()
                assert len(set(drawn)) == len(drawn), (method, epoch)
    print("no two workers drew the same")
