"""A network of chemprop's with random weights, as wide as HIDDEN says, or as is needed for WEIGHTS:

python chemprop_net.py FILE DEPTH --hidden HIDDEN
python chemprop_net.py FILE DEPTH --weights WEIGHTS
"""

import argparse

import torch
from chemprop import models, nn

asked = argparse.ArgumentParser(description=__doc__)
asked.add_argument("path")
asked.add_argument("depth", type=int)
asked.add_argument("--hidden", type=int, default=0)
asked.add_argument("--weights", type=int, default=0)
options = asked.parse_args()


def net(hidden: int) -> models.MPNN:
    torch.manual_seed(0)
    return models.MPNN(
        nn.BondMessagePassing(d_h=hidden, depth=options.depth),
        nn.MeanAggregation(),
        nn.RegressionFFN(input_dim=hidden, hidden_dim=hidden, n_layers=1),
    )


def size(hidden: int) -> int:
    return sum(one.numel() for one in net(hidden).parameters())


low = high = options.hidden
if options.weights:
    low, high = 8, 16
    while size(high) < options.weights:
        low, high = high, 2 * high
while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if size(middle) < options.weights else (low, middle)
hidden = min((low, high), key=lambda one: abs(size(one) - options.weights))
models.save_model(options.path, net(hidden))
print(hidden, size(hidden))
