"""Train a small network on the UCI digits; writes weights, metrics and timings. Knows nothing of the executor."""

import argparse
import csv
import json
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


def read_digits(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 64), scaled to 0..1, and labels (n,)."""
    with path.open(newline="") as file:
        rows = [[float(cell) for cell in row] for row in csv.reader(file)]
    table = torch.tensor(rows)
    return table[:, :64] / 16, table[:, 64].long()


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of images whose label is found."""
    with torch.no_grad():
        return (model(images).argmax(1) == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hidden", type=json.loads, default=[128, 64])
    arguments = parser.parse_args()

    images, labels = read_digits(arguments.data / "digits.csv")
    order = torch.randperm(len(images))
    train, test = order[len(images) // 5 :], order[: len(images) // 5]

    layers: list[nn.Module] = []
    width = images.shape[1]
    for hidden in arguments.hidden:
        layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.1)]
        width = hidden
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr)

    with (arguments.out / "metrics.jsonl").open("w") as metrics, (arguments.out / "telemetry.jsonl").open("w") as times:
        for epoch in range(arguments.epochs):
            started = time.perf_counter()
            model.train()
            total = 0.0
            for batch in train[torch.randperm(len(train))].split(arguments.batch):
                loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
            model.eval()
            found = accuracy(model, images[test], labels[test])
            metrics.write(json.dumps({"epoch": epoch, "loss": total / len(train), "test_accuracy": found}) + "\n")
            times.write(json.dumps({"epoch": epoch, "seconds": time.perf_counter() - started}) + "\n")
            if epoch % 10 == 9:
                print(f"epoch {epoch + 1}: loss {total / len(train):.4f}, test accuracy {found:.4f}", flush=True)

    save_file(model.state_dict(), arguments.out / "model.safetensors")


if __name__ == "__main__":
    main()
