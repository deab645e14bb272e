"""Writes `tests/goldens/from-scratch/`: a network with modules of many kinds, and how PyTorch draws each of their parameters.

    python tests/torch/from_scratch.py tests/goldens/from-scratch

The distributions are measured from many networks, not written down: mean, standard deviation, smallest and largest value.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

NETWORKS = 400


class Kinds(nn.Module):
    """Eleven tokens in sequences of four, three classes."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8, padding_idx=2)
        self.plain = nn.Embedding(11, 8)
        self.lstm = nn.LSTM(8, 6, batch_first=True)
        self.gru = nn.GRU(6, 5, batch_first=True)
        self.rnn = nn.RNN(5, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.other_attention = nn.MultiheadAttention(8, 2, kdim=8, vdim=6, batch_first=True)
        self.layer_norm = nn.LayerNorm(8)
        self.conv1d = nn.Conv1d(4, 6, 3, padding=1)
        self.bn1d = nn.BatchNorm1d(6)
        self.group_norm = nn.GroupNorm(2, 6)
        self.transposed1d = nn.ConvTranspose1d(6, 4, 3, padding=1)
        self.conv2d = nn.Conv2d(1, 4, 3, padding=1)
        self.bn2d = nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.prelu = nn.PReLU(4)
        self.transposed2d = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.transformers = Conv1D(7, 16)
        self.blocks = nn.Sequential(nn.Linear(7, 12), nn.Tanh(), nn.Linear(12, 3, bias=False))

    def forward(self, x):
        x = self.embedding(x) + self.plain(x)
        x = self.rnn(self.gru(self.lstm(x)[0])[0])[0]
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + self.other_attention(x, x, x[..., :6], need_weights=False)[0]
        x = self.transposed1d(self.group_norm(self.bn1d(self.conv1d(self.layer_norm(x)))))
        x = self.prelu(self.grouped(self.bn2d(self.conv2d(x[:, None]))))
        x = self.transposed2d(x).mean((1, 2))
        return self.blocks(self.transformers(x))


class Unknown(nn.Module):
    """A parameter that no module of PyTorch draws."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.fc(x) * self.scale


def exported(model, x, path):
    exported = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(exported, path)


if __name__ == "__main__":
    # Paths of the machine that wrote them have no place in committed files.
    torch.fx.config.do_not_emit_stack_traces = True
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    exported(Kinds(), torch.zeros(2, 4, dtype=torch.long), directory / "kinds.pt2")
    exported(Unknown(), torch.zeros(2, 8), directory / "unknown.pt2")
    drawn = [dict(Kinds().named_parameters()) for _ in range(NETWORKS)]
    distributions = {}
    for name in drawn[0]:
        values = torch.stack([parameters[name].detach() for parameters in drawn]).double()
        distributions[name] = {
            "mean": values.mean().item(),
            "std": values.std(correction=0).item(),
            "smallest": values.min().item(),
            "largest": values.max().item(),
            "zero_rows": [i for i in range(values.shape[1]) if not values[:, i].any()] if values.ndim == 3 else [],
        }
    (directory / "kinds.json").write_text(json.dumps(distributions, indent=1) + "\n")
