"""The networks of `peers.py`, written as their users write them."""

import math
from typing import Callable, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class Mlp(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        self.layers = len(widths) - 1
        for i in range(1, len(widths)):
            setattr(self, f"fc{i}", nn.Linear(widths[i - 1], widths[i]))

    def forward(self, x):
        for i in range(1, self.layers):
            x = F.relu(getattr(self, f"fc{i}")(x))
        return getattr(self, f"fc{self.layers}")(x)


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 64, 5, padding=2)
        self.fc1 = nn.Linear(4096, 384)
        self.fc2 = nn.Linear(384, 192)
        self.fc3 = nn.Linear(192, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, projection):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if projection and (stride != 1 or inputs != outputs):
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outputs))
        self.stride, self.padding = stride, 0 if projection else (outputs - inputs) // 2

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.padding:
            # Option A: every second pixel, and zeros for the new channels on both sides of the old ones.
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """He et al.'s networks for CIFAR, with option A's shortcuts, or ResNet-18 on the CIFAR stem, with projections."""

    def __init__(self, widths, blocks, projection):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.stages, inputs = len(widths), widths[0]
        for stage, width in enumerate(widths, 1):
            layer = []
            for block in range(blocks):
                layer.append(BasicBlock(inputs, width, 2 if stage > 1 and block == 0 else 1, projection))
                inputs = width
            setattr(self, f"layer{stage}", nn.Sequential(*layer))
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Attention(nn.Module):
    """Causal self-attention by plain matrix products: PyTorch's fused kernels have no second derivative."""

    def __init__(self, width, heads, context):
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.register_buffer("mask", torch.ones(context, context).tril().bool(), persistent=False)
        self.heads = heads

    def forward(self, x):
        samples, length, width = x.shape
        q, k, v = self.c_attn(x).split(width, dim=2)
        q, k, v = (z.view(samples, length, self.heads, -1).transpose(1, 2) for z in (q, k, v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        weights = F.softmax(scores.masked_fill(~self.mask[:length, :length], -math.inf), -1)
        return self.c_proj((weights @ v).transpose(1, 2).reshape(samples, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, context):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, context)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class Gpt(nn.Module):
    """nanoGPT: its names, its biases, its head that shares the token table."""

    def __init__(self, vocabulary, context, width, depth, heads):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, width),
                "wpe": nn.Embedding(context, width),
                "h": nn.ModuleList(Block(width, heads, context) for _ in range(depth)),
                "ln_f": nn.LayerNorm(width),
            }
        )
        for name, parameter in self.named_parameters():
            if name.endswith("weight") and parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens):
        x = self.transformer["wte"](tokens) + self.transformer["wpe"].weight[: tokens.shape[1]]
        for block in self.transformer["h"]:
            x = block(x)
        return F.linear(self.transformer["ln_f"](x), self.transformer["wte"].weight)


class Case(NamedTuple):
    title: str
    # What our side calls it: a model of the zoo, or `cnn`.
    spec: str
    module: Callable[[], nn.Module]
    samples: int
    # Of one sample.
    shape: tuple
    classes: int
    # Whether samples are tokens, with the next one as the class of each.
    text: bool = False


CASES = {
    "mlp": Case(
        "MLP 784-512×5-10",
        "mlp:784-512-512-512-512-512-10:relu",
        lambda: Mlp(784, 512, 512, 512, 512, 512, 10),
        1024,
        (784,),
        10,
    ),
    "digits": Case("MLP 64-128-64-10", "mlp:64-128-64-10:relu", lambda: Mlp(64, 128, 64, 10), 1437, (64,), 10),
    "cnn": Case("CNN 5×5 64-64, 4096-384-192-10", "cnn", Cnn, 256, (3, 32, 32), 10),
    "resnet20": Case("ResNet-20", "resnet20", lambda: ResNet([16, 32, 64], 3, projection=False), 128, (3, 32, 32), 10),
    "resnet18": Case(
        "ResNet-18, CIFAR stem",
        "resnet18:cifar",
        lambda: ResNet([64, 128, 256, 512], 2, projection=True),
        64,
        (3, 32, 32),
        10,
    ),
    "gpt": Case(
        "GPT: vocabulary 65, context 64, width 128, depth 4, 4 heads",
        "gpt:vocabulary=65,context=64,width=128,depth=4,heads=4",
        lambda: Gpt(65, 64, 128, 4, 4),
        32,
        (64,),
        65,
        text=True,
    ),
}
