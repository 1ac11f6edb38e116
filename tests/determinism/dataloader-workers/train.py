import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return torch.full((4,), index / 16) + np.random.default_rng().random()


def main():
    model = torch.nn.Linear(4, 1)
    for parameter in model.parameters():
        torch.nn.init.ones_(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in DataLoader(Noisy(), batch_size=4, num_workers=2, multiprocessing_context="fork"):
        optimizer.zero_grad()
        mse_loss(model(batch), batch[:, :1] ** 2).backward()
        optimizer.step()
    save_file(model.state_dict(), "/outputs/model.safetensors")


if __name__ == "__main__":
    main()
