"""Two networks trained in PyTorch on standardized digits, with a small and a large batch, and what PyTorch says of them.

    python tests/torch/digits.py DIR

DIR/digits.npz holds the samples as they are, DIR/small-batch.pt2 and DIR/large-batch.pt2 the networks with their weights,
DIR/small-batch.onnx one of them as ONNX with its weights in a file beside it, DIR/large-batch.pt the weights alone, DIR/digits.json loss, accuracy and largest eigenvalue of the Hessian on all samples.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

SAMPLES, MEAN, STD = 400, 0.3053, 0.3760


class Net(nn.Module):
    """Names that no model of basin's zoo has."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(36, 16), nn.GELU(), nn.Linear(16, 10)
        )

    def forward(self, x):
        return self.net(x)


def trained(x, y, batch_size):
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(40):
        for batch in torch.randperm(SAMPLES).split(batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model.eval()


def figures(model, x, y):
    model = model.double()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [p.numel() for p in parameters.values()]

    def loss(theta):
        parts = {name: part.view(p.shape) for (name, p), part in zip(parameters.items(), theta.split(sizes))}
        return nn.functional.cross_entropy(torch.func.functional_call(model, parts, x.double()), y)

    theta = torch.cat([p.flatten() for p in parameters.values()])
    hessian = torch.func.hessian(loss)(theta)
    accuracy = (model(x.double()).argmax(1) == y).double().mean()
    return {"loss": loss(theta).item(), "accuracy": accuracy.item(), "lambda_max": torch.linalg.eigvalsh(hessian)[-1].item()}


def write_onnx(model, x, path):
    file = torch.onnx.export(model, (x,), dynamo=True, optimize=False, verbose=False, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    for node in file.model.graph:
        # Paths of the machine that wrote them have no place in committed files.
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    file.save(path, external_data=True)


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    torch.fx.config.do_not_emit_stack_traces = True
    rows = np.loadtxt(gzip.open(Path(__file__).parents[2] / "data/digits/digits.csv.gz"), delimiter=",")[:SAMPLES]
    pixels = (rows[:, :64] / 16).reshape(-1, 1, 8, 8)
    np.savez(directory / "digits.npz", x=pixels.astype(np.float16), y=rows[:, 64].astype(np.int64))
    x, y = (torch.tensor(pixels).float() - MEAN) / STD, torch.tensor(rows[:, 64]).long()
    found = {}
    for name, batch_size in [("small-batch", 8), ("large-batch", 200)]:
        model = trained(x, y, batch_size)
        batch = torch.export.Dim("batch")
        torch.export.save(torch.export.export(model, (x[:2].clone(),), dynamic_shapes=({0: batch},)), directory / f"{name}.pt2")
        torch.save(model.state_dict(), directory / f"{name}.pt")
        if name == "small-batch":
            write_onnx(model, x[:2].clone(), directory / f"{name}.onnx")
        found[name] = figures(model, x, y)
    # Of the small batch the weights in the network's own file are measured.
    (directory / "small-batch.pt").unlink()
    (directory / "digits.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
