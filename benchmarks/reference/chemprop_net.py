"""A network of chemprop's with random weights: python chemprop_net.py FILE HIDDEN DEPTH"""

import sys

import torch
from chemprop import models, nn

path, hidden, depth = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
net = models.MPNN(
    nn.BondMessagePassing(d_h=hidden, depth=depth),
    nn.MeanAggregation(),
    nn.RegressionFFN(input_dim=hidden, hidden_dim=hidden, n_layers=1),
)
models.save_model(path, net)
print(sum(one.numel() for one in net.parameters()))
