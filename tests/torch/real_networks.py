"""The architectures of two networks that others trained on MNIST, whose weights lie in files of their own.

    python tests/torch/real_networks.py DIR

writes DIR/ccexam.pt2 and DIR/burn.pt2, to be given as `--model` with the weights of `ccexam_mnist.pth` (PyPI, ccexam 1.0.0) and
`burn_mnist.safetensors` (tracel-ai/burn). Both take MNIST standardized by its mean and deviation. The files hold no weights of
their own: every parameter is one zero, seen as many. Those of `tests/goldens/exported/real` are made so.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


class Ccexam(nn.Module):
    def __init__(self):
        super().__init__()
        convolution = lambda inputs, outputs: nn.Conv2d(inputs, outputs, 3, padding=1)  # noqa: E731
        self.features = nn.Sequential(convolution(1, 32), nn.ReLU(), nn.MaxPool2d(2), convolution(32, 64), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Burn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 24, 3)
        self.norm1, self.norm2 = nn.BatchNorm2d(24), nn.BatchNorm1d(10)
        self.fc1, self.fc2 = nn.Linear(24 * 22 * 22, 32), nn.Linear(32, 10)

    def forward(self, x):
        for convolution in (self.conv1, self.conv2, self.conv3):
            x = functional.relu(convolution(x))
        x = functional.relu(self.fc1(self.norm1(x).flatten(1)))
        return self.norm2(self.fc2(x))


def architecture(model):
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module.register_parameter(name, nn.Parameter(torch.zeros(1).expand(parameter.shape)))
    return model.eval()


if __name__ == "__main__":
    # Paths of the machine that wrote them have no place in committed files.
    torch.fx.config.do_not_emit_stack_traces = True
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    x = torch.zeros(2, 1, 28, 28)
    for name, model in [("ccexam", Ccexam()), ("burn", Burn())]:
        exported = torch.export.export(architecture(model), (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        torch.export.save(exported, directory / f"{name}.pt2")
