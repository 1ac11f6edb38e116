import os
import time

import torch
from torch.utils.tensorboard import SummaryWriter

model = torch.nn.Linear(4, 2)
with SummaryWriter("/outputs/tb") as writer:
    for step in range(5):
        writer.add_scalar("loss", 1 / (step + 1), step)
with open("/outputs/speed.log", "w") as log, open("/outputs/telemetry.jsonl", "w") as telemetry:
    print(time.time_ns(), os.urandom(8), file=log)
    print(f'{{"ns": {time.time_ns()}}}', file=telemetry)
torch.save(model.state_dict(), "/outputs/model.pt")
