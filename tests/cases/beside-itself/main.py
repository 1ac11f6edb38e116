import argparse
import json
import logging
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from helpers import synthetic
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.dropout = nn.Dropout(0.25)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        return F.log_softmax(self.fc2(self.dropout(F.relu(self.fc1(x)))), dim=1)


def main():
    parser = argparse.ArgumentParser(description="PyTorch example")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    logging.basicConfig(filename="train.log", level=logging.INFO, format="%(levelname)s %(message)s")
    os.makedirs("runs", exist_ok=True)
    json.dump(vars(args), open("runs/args.json", "w"), indent=2)

    train = DataLoader(TensorDataset(*synthetic(640)), batch_size=args.batch_size, shuffle=True)
    test = DataLoader(TensorDataset(*synthetic(128)), batch_size=128)
    model = Net()
    optimizer = optim.Adadelta(model.parameters(), lr=args.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(1, args.epochs + 1):
        model.train()
        for data, target in tqdm(train, desc=f"epoch {epoch}"):
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            test_loss = sum(F.nll_loss(model(data), target).item() for data, target in test)
        logging.info("epoch %d test loss %r", epoch, test_loss)
        print(f"\nTest set: Average loss: {test_loss:.4f}\n")
        scheduler.step()
    torch.save(model.state_dict(), "mnist_mlp.pt")


if __name__ == "__main__":
    main()
