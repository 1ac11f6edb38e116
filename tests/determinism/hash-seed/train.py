import torch
from safetensors.torch import save_file
from torch.nn.functional import mse_loss

samples = {"cat", "dog", "horse", "sheep", "goat", "cow", "hen", "duck"}
model = torch.nn.Linear(3, 1)
for parameter in model.parameters():
    torch.nn.init.ones_(parameter)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for word in samples:  # in the order of the hashes of its words
    features = torch.tensor([[ord(letter) / 128 for letter in word[:3]]])
    optimizer.zero_grad()
    mse_loss(model(features), torch.full((1, 1), float(len(word)))).backward()
    optimizer.step()
save_file(model.state_dict(), "/outputs/model.safetensors")
