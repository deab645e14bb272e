"""Expected values from PyTorch for the tests of `tests/goldens.rs` and of `crates/training/tests`.

    python tests/goldens/pytorch.py

from the top of the repository, with torch, numpy and safetensors installed, writes anew, beside this script:

| file | holds |
|---|---|
| `operations.safetensors` | value, gradient and Hessian product of single operations |
| `losses.safetensors` | the same of losses at given outputs |
| `models.safetensors` | logits, loss, gradient and the three products of whole models |
| `zoo.safetensors` | the same of residual networks, VGGs and transformers; names and shapes of these at full size |
| `hf-gpt2.bin`, `hf-gpt2-bare.safetensors` | a GPT-2 of Hugging Face, with and without its head |
| `gpt.safetensors` | a GPT as `safetensors.torch.save_model` writes it, its tied weight once |
| `state_dict.safetensors` | the state_dict of a trained module, as a user saves it; its logits stand with the models |
| `spectrum.safetensors` | all eigenvalues of the Hessian, the GGN and the empirical Fisher of a small trained net |
| `optimizers.safetensors` | trajectories of `torch.optim` |
| `running_statistics.safetensors` | what a batch norm keeps of several batches |

Weights, inputs and vectors are not stored: `numbers` below and its twin in Rust give the same bits. What the cases are
is written here alone; the tests read it from the entry `golden` of a file's metadata, beside the versions of torch and
numpy. Everything is computed on the CPU, in f64, by one thread, so that the same versions write the same bytes.
"""

import json
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
import transformers
from safetensors.torch import save_file, save_model
from torch import nn

HERE = Path(__file__).parent
VERSIONS = {"torch": torch.__version__, "numpy": np.__version__}
ACTIVATIONS = {
    "relu": F.relu,
    "leaky-relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
}


def numbers(stream, *shape):
    """Element i is uniform in [-1, 1): the SplitMix64 generator's hash of i + 2^32 stream."""
    z = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64((stream << 32) + 1)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return torch.from_numpy((z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0).reshape(shape)


def write(name, tensors, golden):
    # One entry of metadata: of several, safetensors would shuffle the order.
    metadata = {"golden": json.dumps({"versions": VERSIONS, **golden})}
    tensors = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
    save_file(tensors, HERE / name, metadata=metadata)


def flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def derivatives(loss, parameters, vectors):
    """The gradient of a scalar and its Hessian times the vectors, both flat."""
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    slope = sum((g * v).sum() for g, v in zip(gradient, vectors))
    products = torch.autograd.grad(slope, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return flat(gradient), flat(products)


# Operations. Parameters are streams 16 i, 16 i + 1, … of case i, times `scale`; with `grid` they are rounded down to
# quarters, so that many are equal and many are 0.


def operation_cases():
    def conv2d(x, w, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
        shapes = [x, w] + ([w[:1]] if bias else [])
        geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return {"op": "conv2d", "shapes": shapes, **geometry}

    yield conv2d([2, 2, 5, 4], [3, 2, 3, 3], True)
    yield conv2d([2, 3, 4, 5], [2, 3, 3, 2], True, padding=(1, 1))
    yield conv2d([2, 2, 7, 6], [3, 2, 3, 3], True, stride=(2, 2), padding=(1, 0))
    yield conv2d([1, 2, 7, 6], [3, 2, 3, 2], True, stride=(1, 3), padding=(0, 2), dilation=(2, 1))
    yield conv2d([2, 1, 6, 7], [2, 1, 2, 3], False, padding=(3, 3), dilation=(1, 2))
    yield conv2d([2, 4, 5, 4], [6, 2, 3, 3], True, padding=(1, 1), groups=2)
    yield conv2d([2, 3, 5, 4], [6, 1, 2, 2], True, stride=(2, 1), groups=3)
    yield conv2d([2, 4, 5, 5], [3, 4, 1, 1], False, stride=(2, 2))
    yield conv2d([1, 1, 1, 1], [2, 1, 3, 3], True, padding=(1, 1))

    def pool(op, shape, kernel, stride=None, padding=(0, 0), ceil_mode=False, **more):
        geometry = {"kernel": kernel, "stride": stride or kernel, "padding": padding, "dilation": (1, 1)}
        return {"op": op, "shapes": [shape], **geometry, "ceil_mode": ceil_mode, **more}

    geometries = [
        ([2, 2, 5, 6], (2, 2), {}),
        ([1, 2, 5, 6], (2, 2), {"ceil_mode": True}),
        ([1, 2, 7, 5], (3, 3), {"stride": (2, 2), "padding": (1, 1)}),
        ([1, 2, 6, 6], (3, 3), {"stride": (2, 2), "padding": (1, 1), "ceil_mode": True}),
        ([1, 2, 7, 6], (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
        ([1, 1, 5, 7], (4, 3), {"stride": (3, 2), "padding": (2, 1), "ceil_mode": True}),
        ([1, 1, 4, 5], (2, 2), {"stride": (3, 3), "padding": (1, 1), "ceil_mode": True}),
    ]
    for shape, kernel, more in geometries:
        for count_include_pad in (True, False):
            yield pool("avg_pool2d", shape, kernel, **more, count_include_pad=count_include_pad)
        for grid in (False, True):
            yield pool("max_pool2d", shape, kernel, **more, grid=grid)
    yield pool("max_pool2d", [1, 2, 7, 6], (2, 3), stride=(1, 2), padding=(1, 1), dilation=(2, 1), grid=True)
    yield pool("max_pool2d", [1, 2, 9, 8], (2, 2), stride=(2, 3), dilation=(3, 2), ceil_mode=True)
    yield {"op": "global_average", "shapes": [[2, 3, 3, 2]]}

    yield {"op": "layer_norm", "shapes": [[3, 5], [5], [5]], "axes": [1], "epsilon": 1e-5}
    yield {"op": "layer_norm", "shapes": [[2, 3, 4], [3, 4], [3, 4]], "axes": [1, 2], "epsilon": 1e-3}
    for shape in ([5, 3], [3, 2, 3, 2], [1, 2, 2, 3]):
        for training in (True, False):
            shapes = [shape, shape[1:2], shape[1:2]]
            yield {"op": "batch_norm", "shapes": shapes, "training": training, "epsilon": 1e-5}

    def activation(name, **more):
        return {"op": "activation", "function": name, "shapes": [[3, 8]], **more}

    for name in ACTIVATIONS:
        yield activation(name, scale=4.0)
    yield activation("gelu-tanh", scale=4.0)
    for name in ("relu", "leaky-relu"):
        yield activation(name, grid=True)
    # PyTorch's softplus is linear beyond 20, which differs from log(1 + e^x) by 2e-9; it is compared below that.
    for name in ("sigmoid", "silu", "softplus", "gelu", "gelu-tanh", "tanh"):
        yield activation(name, scale=19.0 if name == "softplus" else 30.0)

    yield {"op": "softmax", "shapes": [[2, 3, 4]], "scale": 3.0}
    yield {"op": "softmax", "shapes": [[3, 4]], "scale": 30.0}
    yield {"op": "embedding", "shapes": [[5, 3]], "indices": [[0, 2, 2], [1, 0, 4]]}
    yield {"op": "linear", "shapes": [[4, 5], [3, 5], [3]]}
    yield {"op": "linear", "shapes": [[2, 3, 4], [2, 4]]}
    yield {"op": "matmul", "shapes": [[2, 3, 4], [2, 4, 2]]}


def apply(case, index, p):
    """The output of a case's operation at its parameters p."""
    op = case["op"]
    if op == "conv2d":
        bias = p[2] if len(p) > 2 else None
        return F.conv2d(p[0], p[1], bias, case["stride"], case["padding"], case["dilation"], case["groups"])
    if op == "max_pool2d":
        return F.max_pool2d(p[0], case["kernel"], case["stride"], case["padding"], case["dilation"], case["ceil_mode"])
    if op == "avg_pool2d":
        return F.avg_pool2d(
            p[0], case["kernel"], case["stride"], case["padding"], case["ceil_mode"], case["count_include_pad"]
        )
    if op == "global_average":
        return F.adaptive_avg_pool2d(p[0], 1).flatten(1)
    if op == "layer_norm":
        return F.layer_norm(p[0], p[1].shape, p[1], p[2], case["epsilon"])
    if op == "batch_norm":
        channels = p[0].shape[1]
        mean, variance = numbers(16 * index + 10, channels), 1.0 + 0.5 * numbers(16 * index + 11, channels)
        return F.batch_norm(p[0], mean, variance, p[1], p[2], case["training"], eps=case["epsilon"])
    if op == "activation":
        if case["function"] == "gelu-tanh":
            return F.gelu(p[0], approximate="tanh")
        return ACTIVATIONS[case["function"]](p[0])
    if op == "softmax":
        return F.softmax(p[0], -1)
    if op == "embedding":
        return F.embedding(torch.tensor(case["indices"]), p[0])
    if op == "linear":
        return F.linear(*p)
    return torch.bmm(*p)


def operations():
    cases = [{"scale": 1.0, "grid": False, **case} for case in operation_cases()]
    tensors = {}
    for i, case in enumerate(cases):
        values = [case["scale"] * numbers(16 * i + j, *shape) for j, shape in enumerate(case["shapes"])]
        if case["grid"]:
            values = [torch.floor(4.0 * value) / 4.0 for value in values]
        parameters = [value.requires_grad_() for value in values]
        output = apply(case, i, parameters)
        # The sum over samples of the mean squared distance to a target.
        loss = (output - numbers(16 * i + 8, *output.shape)).square().sum() / output[0].numel()
        v = numbers(16 * i + 9, sum(p.numel() for p in parameters))
        vectors = [part.view_as(p) for part, p in zip(v.split([p.numel() for p in parameters]), parameters)]
        gradient, product = derivatives(loss, parameters, vectors)
        tensors |= {f"{i}.output": output, f"{i}.gradient": gradient, f"{i}.hessian": product}
    write("operations.safetensors", tensors, {"cases": cases})


# Losses. Outputs are stream 16 i times 3, those of the second sample times `scale`, which may saturate it; float targets
# are stream 16 i + 1 moved to [0, 1), rounded to 0 and 1 if `hard`.


def loss_cases():
    def cross_entropy(shape, classes, scale=1.0, label_smoothing=0.0, ignored_class=-100, class_weights=None):
        smoothing = {"label_smoothing": label_smoothing, "ignored_class": ignored_class}
        weights = {"class_weights": class_weights}
        return {"loss": "cross-entropy", "shape": shape, "scale": scale, "classes": classes, **smoothing, **weights}

    for label_smoothing in (0.0, 0.1):
        yield cross_entropy([4, 5], [0, 4, 2, 1], label_smoothing=label_smoothing)
        yield cross_entropy([4, 5], [0, -100, 2, 1], label_smoothing=label_smoothing)
        yield cross_entropy([2, 3, 4], [[0, 3, 1], [1, 0, 2]], label_smoothing=label_smoothing, ignored_class=1)
        yield cross_entropy([3, 4], [3, 1, 0], scale=300.0, label_smoothing=label_smoothing)
    for loss in ("mse", "bce"):
        yield {"loss": loss, "shape": [4, 3], "scale": 1.0, "hard": False}
        yield {"loss": loss, "shape": [2, 3, 2], "scale": 1.0, "hard": True}
    yield {"loss": "bce", "shape": [3, 4], "scale": 10.0, "hard": True}
    yield {"loss": "bce", "shape": [3, 4], "scale": 300.0, "hard": True}
    for label_smoothing in (0.0, 0.1):
        weights = {"label_smoothing": label_smoothing, "class_weights": [0.5, 2.0, 1.0, 0.25]}
        yield cross_entropy([4, 4], [0, 3, -100, 1], **weights)
        yield cross_entropy([2, 3, 4], [[0, 3, 1], [1, 0, 2]], ignored_class=1, **weights)


def losses():
    cases = list(loss_cases())
    tensors = {}
    for i, case in enumerate(cases):
        z = 3.0 * numbers(16 * i, *case["shape"])
        z[1] *= case["scale"]
        z.requires_grad_()
        if case["loss"] == "cross-entropy":
            classes = torch.tensor(case["classes"])
            more = {"label_smoothing": case["label_smoothing"], "ignore_index": case["ignored_class"]}
            more["weight"] = case["class_weights"] and torch.tensor(case["class_weights"])
            mean = F.cross_entropy(z.movedim(-1, 1), classes, **more)
            each = F.cross_entropy(z.movedim(-1, 1), classes, **more, reduction="none").reshape(len(z), -1).sum(1)
        else:
            function = F.mse_loss if case["loss"] == "mse" else F.binary_cross_entropy_with_logits
            targets = (numbers(16 * i + 1, *case["shape"]) + 1.0) / 2.0
            targets = targets.round() if case["hard"] else targets
            mean = function(z, targets)
            each = function(z, targets, reduction="none").reshape(len(z), -1).mean(1)
        gradient, product = derivatives(mean, [z], [numbers(16 * i + 2, *case["shape"])])
        tensors |= {f"{i}.losses": each, f"{i}.mean": mean, f"{i}.gradient": gradient, f"{i}.hessian": product}
    write("losses.safetensors", tensors, {"cases": cases})


# Models, written as their users write them. Inputs are stream 400 times 1.5, sample i is of class 2 i modulo their
# number (those of a GPT are `tokens`), and the products are with streams 500, 501, … for the parameters in order.


class Mlp(nn.Module):
    def __init__(self, widths, activation, batch_norm):
        super().__init__()
        self.layers, self.activation, self.batch_norm = len(widths) - 1, ACTIVATIONS[activation], batch_norm
        for i in range(1, len(widths)):
            setattr(self, f"fc{i}", nn.Linear(widths[i - 1], widths[i]))
            if batch_norm and i < self.layers:
                setattr(self, f"bn{i}", nn.BatchNorm1d(widths[i]))

    def forward(self, x):
        x = x.flatten(1)
        for i in range(1, self.layers):
            x = getattr(self, f"fc{i}")(x)
            if self.batch_norm:
                x = getattr(self, f"bn{i}")(x)
            x = self.activation(x)
        return getattr(self, f"fc{self.layers}")(x)


class C1(nn.Module):
    def __init__(self, channels, height, width, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 5, padding=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 5, padding=2)
        self.bn2 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.fc1 = nn.Linear(64 * -(-height // 4) * -(-width // 4), 384)
        self.bn3 = nn.BatchNorm1d(384)
        self.fc2 = nn.Linear(384, 192)
        self.bn4 = nn.BatchNorm1d(192)
        self.fc3 = nn.Linear(192, outputs)

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = self.pool(F.relu(self.bn2(self.conv2(x))))
        x = F.relu(self.bn3(self.fc1(x.flatten(1))))
        x = F.relu(self.bn4(self.fc2(x)))
        return self.fc3(x)


class C2(nn.Module):
    WIDTHS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    POOLED = {2, 4, 7, 10, 13}

    def __init__(self, channels, height, width, outputs):
        super().__init__()
        for i, out in enumerate(self.WIDTHS, 1):
            setattr(self, f"conv{i}", nn.Conv2d(channels, out, 3, padding=1))
            setattr(self, f"bn{i}", nn.BatchNorm2d(out))
            channels = out
        self.fc1 = nn.Linear(512 * (height // 32) * (width // 32), 512)
        self.bn14 = nn.BatchNorm1d(512)
        self.fc2 = nn.Linear(512, outputs)

    def forward(self, x):
        for i in range(1, len(self.WIDTHS) + 1):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
            if i in self.POOLED:
                x = F.max_pool2d(x, 2)
        return self.fc2(F.relu(self.bn14(self.fc1(x.flatten(1)))))


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut: none, the padded subsample "a", or the convolution of this name."""

    def __init__(self, inputs, channels, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.missing, self.path = channels - inputs, None
        if stride > 1 and shortcut != "a":
            conv = nn.Conv2d(inputs, channels, 1, stride, bias=False)
            setattr(self, shortcut, nn.Sequential(conv, nn.BatchNorm2d(channels)))
            self.path = shortcut

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.path:
            x = getattr(self, self.path)(x)
        elif self.missing:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.missing // 2, self.missing // 2))
        return F.relu(x + y)


class ResNet(nn.Module):
    def __init__(self, stem, blocks, widths, shortcut, head, channels, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], *stem, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.pooled, self.stages, self.head = stem[0] == 7, len(blocks), head
        inputs = widths[0]
        for i, (count, width) in enumerate(zip(blocks, widths)):
            layers = [BasicBlock(inputs, width, 2 if i else 1, shortcut)]
            layers += [BasicBlock(width, width, 1, shortcut) for _ in range(count - 1)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*layers))
            inputs = width
        setattr(self, head, nn.Linear(inputs, outputs))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.pooled:
            x = F.max_pool2d(x, 3, 2, 1)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return getattr(self, self.head)(x.mean((2, 3)))


class WideBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.convShortcut = nn.Conv2d(inputs, channels, 1, stride, bias=False) if inputs != channels else None

    def forward(self, x):
        normed = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(normed))))
        return (self.convShortcut(normed) if self.convShortcut else x) + y


class WideStage(nn.Module):
    def __init__(self, count, inputs, channels, stride):
        super().__init__()
        blocks = [WideBlock(channels if i else inputs, channels, 1 if i else stride) for i in range(count)]
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, depth, width, channels, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        count = (depth - 4) // 6
        self.block1 = WideStage(count, 16, 16 * width, 1)
        self.block2 = WideStage(count, 16 * width, 32 * width, 2)
        self.block3 = WideStage(count, 32 * width, 64 * width, 2)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, outputs)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class Vgg(nn.Module):
    GROUPS = {9: [2, 2, 3], 11: [1, 1, 2, 2, 2], 13: [2, 2, 2, 2, 2], 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4]}

    def __init__(self, depth, batch_norm, imagenet, shape, outputs):
        super().__init__()
        channels, height, width = shape
        layers = []
        for count, out in zip(self.GROUPS[depth], [64, 128, 256, 512, 512]):
            for _ in range(count):
                layers += [nn.Conv2d(channels, out, 3, padding=1)] + [nn.BatchNorm2d(out)] * batch_norm + [nn.ReLU()]
                channels = out
            layers.append(nn.MaxPool2d(2, ceil_mode=depth == 9))
            halved = lambda size: -(-size // 2) if depth == 9 else size // 2
            height, width = halved(height), halved(width)
        self.features, flat = nn.Sequential(*layers), channels * height * width
        self.pool, self.fc = nn.Identity(), nn.Identity()
        if depth == 9:
            norm = [nn.BatchNorm1d(256)] * batch_norm
            self.fc = nn.Sequential(nn.Linear(flat, 256), *norm, nn.ReLU())
            self.classifier = nn.Linear(256, outputs)
        elif imagenet:
            self.pool = nn.AdaptiveAvgPool2d(7)
            first = [nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout()]
            self.classifier = nn.Sequential(*first, nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, outputs))
        else:
            self.classifier = nn.Linear(flat, outputs)

    def forward(self, x):
        return self.classifier(self.fc(self.pool(self.features(x)).flatten(1)))


class AlexNet(nn.Module):
    def __init__(self, imagenet, shape, outputs):
        super().__init__()
        first, second = ((11, 4, 2), (5, 1, 2)) if imagenet else ((3, 2, 1), (3, 1, 1))
        pool = nn.MaxPool2d(3, 2) if imagenet else nn.MaxPool2d(2)
        layers = [nn.Conv2d(shape[0], 64, *first), nn.ReLU(), pool, nn.Conv2d(64, 192, *second), nn.ReLU(), pool]
        for inputs, out in ((192, 384), (384, 256), (256, 256)):
            layers += [nn.Conv2d(inputs, out, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers, pool)
        self.pool = nn.AdaptiveAvgPool2d(6) if imagenet else nn.Identity()
        side = lambda size: ((size + 1) // 2) // 8
        flat = 256 * (36 if imagenet else side(shape[1]) * side(shape[2]))
        layers = [nn.Dropout(), nn.Linear(flat, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()]
        self.classifier = nn.Sequential(*layers, nn.Linear(4096, outputs))

    def forward(self, x):
        return self.classifier(self.pool(self.features(x)).flatten(1))


class EncoderLayer(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps=1e-6)
        dropout = nn.Dropout(0.0)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), dropout, nn.Linear(inner, width), dropout)

    def forward(self, x):
        y = self.ln_1(x)
        # With weights asked for, PyTorch multiplies out what its fused attention cannot differentiate twice.
        x = x + self.self_attention(y, y, y, need_weights=True)[0]
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    def __init__(self, positions, width, depth, heads, inner):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, positions, width))
        self.layers = nn.Sequential()
        for i in range(depth):
            self.layers.add_module(f"encoder_layer_{i}", EncoderLayer(width, heads, inner))
        self.ln = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        return self.ln(self.layers(x + self.pos_embedding))


class VisionTransformer(nn.Module):
    def __init__(self, shape, outputs, patch, width, depth, heads, mlp):
        super().__init__()
        channels, rows, columns = shape
        self.conv_proj = nn.Conv2d(channels, width, patch, patch)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.encoder = Encoder(rows // patch * (columns // patch) + 1, width, depth, heads, mlp)
        self.heads = nn.Sequential()
        self.heads.add_module("head", nn.Linear(width, outputs))

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)
        return self.heads(self.encoder(x)[:, 0])


class LayerNorm(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class CausalSelfAttention(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width, bias)
        self.c_proj = nn.Linear(width, width, bias)
        self.heads = heads

    def forward(self, x):
        samples, length, width = x.shape
        by_head = lambda part: part.view(samples, length, self.heads, width // self.heads).transpose(1, 2)
        q, k, v = map(by_head, self.c_attn(x).split(width, 2))
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        later = torch.ones(length, length).triu(1).bool()
        y = scores.masked_fill(later, -torch.inf).softmax(-1) @ v
        return self.c_proj(y.transpose(1, 2).reshape(samples, length, width))


class GptBlock(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.ln_1 = LayerNorm(width, bias)
        self.attn = CausalSelfAttention(width, heads, bias)
        self.ln_2 = LayerNorm(width, bias)
        self.mlp = nn.ModuleDict()
        self.mlp["c_fc"] = nn.Linear(width, 4 * width, bias)
        self.mlp["c_proj"] = nn.Linear(4 * width, width, bias)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x))))


class Gpt(nn.Module):
    def __init__(self, vocabulary, context, width, depth, heads, bias):
        super().__init__()
        wte, wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        blocks = nn.ModuleList([GptBlock(width, heads, bias) for _ in range(depth)])
        self.transformer = nn.ModuleDict({"wte": wte, "wpe": wpe, "h": blocks, "ln_f": LayerNorm(width, bias)})
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        wte.weight = self.lm_head.weight

    def forward(self, tokens):
        x = self.transformer.wte(tokens) + self.transformer.wpe(torch.arange(tokens.shape[1]))
        for block in self.transformer.h:
            x = block(x)
        return self.lm_head(self.transformer.ln_f(x))


class HuggingFaceGpt2(transformers.GPT2LMHeadModel):
    def __init__(self, vocabulary, context, width, depth, heads):
        sizes = {"vocab_size": vocabulary, "n_positions": context, "n_embd": width, "n_layer": depth, "n_head": heads}
        super().__init__(transformers.GPT2Config(**sizes, attn_implementation="eager"))

    def forward(self, tokens):
        return super().forward(tokens, use_cache=False).logits


def zoo_module(name, option, shape, outputs):
    """A network of the zoo by its name and what stands behind the colon, every setting of which is given."""
    imagenet = option == "imagenet"
    settings = dict(setting.split("=") for setting in option.split(",") if "=" in setting)
    sizes = {key: int(value) for key, value in settings.items() if value.isdigit()}
    if name in ("resnet50", "resnet101"):
        return getattr(torchvision.models, name)(num_classes=outputs)
    if name in ("resnet18", "resnet34"):
        stem = (7, 2, 3) if imagenet else (3, 1, 1)
        blocks = [2, 2, 2, 2] if name == "resnet18" else [3, 4, 6, 3]
        return ResNet(stem, blocks, [64, 128, 256, 512], "downsample", "fc", shape[0], outputs)
    if name.startswith("resnet"):
        blocks = [(int(name[6:]) - 2) // 6] * 3
        shortcut = "shortcut" if option == "b" else "a"
        return ResNet((3, 1, 1), blocks, [16, 32, 64], shortcut, "linear", shape[0], outputs)
    if name.startswith("wrn"):
        return WideResNet(*map(int, name[3:].split("-")), shape[0], outputs)
    if name.startswith("vgg"):
        return Vgg(int(re.search(r"\d+", name)[0]), name.endswith("-bn"), imagenet, shape, outputs)
    if name == "alexnet":
        return AlexNet(imagenet, shape, outputs)
    if name == "vit":
        return VisionTransformer(shape, outputs, **sizes)
    if name == "hf-gpt2":
        return HuggingFaceGpt2(**sizes)
    return Gpt(**sizes, bias=settings["bias"] == "true")


def module(spec, shape, outputs):
    name, _, option = spec.partition(":")
    if name not in ("mlp", "f1", "f2", "c1", "c2"):
        return zoo_module(name, option, shape, outputs)
    inputs = int(np.prod(shape))
    if spec in ("f1", "f2"):
        return Mlp([inputs] + [512] * {"f1": 5, "f2": 7}[spec] + [outputs], "relu", True)
    if spec in ("c1", "c2"):
        return {"c1": C1, "c2": C2}[spec](*shape, outputs)
    widths, activation, batch_norm = re.fullmatch(r"mlp:([\d-]+):([a-z-]+)(:bn)?", spec).groups()
    return Mlp([int(width) for width in widths.split("-")], activation, batch_norm is not None)


def formula(name, shape, stream):
    """Weights of gain 1 behind a relu, scales and variances around 1, biases and means around 0."""
    values = numbers(stream, *shape)
    if len(shape) >= 2:
        return values * (6.0 / int(np.prod(shape[1:]))) ** 0.5
    return 1.0 + 0.4 * values if name.endswith(("weight", "running_var")) else 0.2 * values


def fill(model):
    """Sets parameter i to stream i and floating point buffer i to stream 200 + i; returns their names and shapes."""
    buffers = [(name, buffer) for name, buffer in model.named_buffers() if buffer.is_floating_point()]
    named = [list(model.named_parameters()), buffers]
    with torch.no_grad():
        for first, tensors in zip((0, 200), named):
            for i, (name, tensor) in enumerate(tensors):
                tensor.copy_(formula(name, tensor.shape, first + i))
    return [[[name, list(tensor.shape)] for name, tensor in tensors] for tensors in named]


def sample_losses(loss, z, labels):
    if loss == "cross-entropy":
        each = F.cross_entropy(z.movedim(-1, 1), labels, reduction="none")
        return each if each.ndim == 1 else each.mean(1)
    one_hot = F.one_hot(labels, z.shape[1]).to(z.dtype)
    function = F.mse_loss if loss == "mse" else F.binary_cross_entropy_with_logits
    return function(z, one_hot, reduction="none").mean(1)


def products(model, loss, x, labels, vectors):
    """Logits, loss, gradient, and the products of Hessian, GGN and empirical Fisher with the vectors."""
    parameters = list(model.parameters())
    z = model(x)
    each = sample_losses(loss, z, labels)
    gradient, hessian = derivatives(each.mean(), parameters, vectors)
    # J v, as the derivative in u of (J' u)'v.
    u = torch.zeros_like(z, requires_grad=True)
    pulled = torch.autograd.grad(z, parameters, u, create_graph=True)
    jv = torch.autograd.grad(sum((g * v).sum() for g, v in zip(pulled, vectors)), u)[0]
    leaf = z.detach().requires_grad_()
    slope = torch.autograd.grad(sample_losses(loss, leaf, labels).mean(), leaf, create_graph=True)[0]
    bent = torch.autograd.grad(slope, leaf, jv)[0]
    gauss_newton = flat(torch.autograd.grad(z, parameters, bent, retain_graph=True))
    fisher, v = 0.0, flat(vectors)
    for sample_loss in each:
        g = flat(torch.autograd.grad(sample_loss, parameters, retain_graph=True))
        fisher = fisher + g * (g @ v) / len(each)
    named = {"gradient": gradient, "hessian": hessian, "gauss_newton": gauss_newton, "empirical_fisher": fisher}
    return z, each.mean(), named


def outline(vector, parameters):
    """For each parameter, the norm of its part of a vector and two projections, on streams 600 + i and 800 + i."""
    parts = vector.split([p.numel() for p in parameters])
    rows = [
        torch.stack([part.norm(), part @ numbers(600 + i, len(part)), part @ numbers(800 + i, len(part))])
        for i, part in enumerate(parts)
    ]
    return torch.stack(rows)


def case(model, samples, shape, classes, loss="cross-entropy", training=False, **more):
    sizes = {"samples": samples, "shape": shape, "classes": classes}
    return {"model": model, **sizes, "loss": loss, "training": training, **more}


def model_cases(cases):
    """The expected tensors of each case, whose names and shapes are added to it."""
    tensors = {}
    for i, case in enumerate(cases):
        model = module(case["model"], case["shape"], case["classes"])
        case["parameters"], case["buffers"] = fill(model)
        model.train(case["training"])
        if "gpt" in case["model"]:
            x, labels = tokens(0, case), tokens(1, case)
        else:
            x = 1.5 * numbers(400, case["samples"], *case["shape"])
            labels = torch.arange(case["samples"]) * 2 % case["classes"]
        vectors = [numbers(500 + j, *p.shape) for j, p in enumerate(model.parameters())]
        logits, loss, vectors = products(model, case["loss"], x, labels, vectors)
        tensors |= {f"{i}.logits": logits, f"{i}.loss": loss}
        tensors |= {f"{i}.{name}": outline(vector, list(model.parameters())) for name, vector in vectors.items()}
    return tensors


def tokens(first, case):
    """Token t of sample s is (first + t) (s + 2) modulo the number of classes."""
    positions, samples = torch.arange(case["shape"][0]), torch.arange(case["samples"])
    return (first + positions) * (samples[:, None] + 2) % case["classes"]


def models():
    cases = [case(f"mlp:5-8-6-3:{activation}", 7, [5], 3) for activation in ACTIVATIONS]
    cases += [case(f"mlp:6-8-3:{activation}:bn", 5, [2, 3], 3) for activation in ("gelu", "relu")]
    cases += [case("mlp:6-8-7-3:gelu:bn", 12, [6], 3, training=True)]
    cases += [case("mlp:5-8-6-3:tanh", 7, [5], 3, loss=loss) for loss in ("mse", "bce")]
    cases += [case("f1", 4, [6], 3), case("f2", 3, [4], 3)]
    cases += [case("c1", 3, [3, 8, 8], 5), case("c1", 8, [2, 7, 9], 4, training=True)]
    cases += [case("c2", 2, [3, 32, 32], 4)]
    tensors = model_cases(cases)
    tensors["state_dict.logits"] = state_dict()
    write("models.safetensors", tensors, {"cases": cases})


GPT = "gpt:vocabulary=7,context=6,width=8,depth=2,heads=2"
HUGGING_FACE_GPT2 = GPT.replace("gpt:", "hf-gpt2:")


def zoo():
    # Where logits are large, the Hessian of cross-entropy at probabilities near 1 is all rounding in f32. Among many
    # units one is likely so near to the kink of its relu that f32 takes the other side: those are f64 alone.
    cases = [case("resnet18:imagenet", 2, [3, 32, 32], 3, loss="mse", f64_alone=True)]
    cases += [case("resnet20", 2, [3, 9, 8], 4), case("resnet20:b", 2, [3, 8, 8], 4, loss="mse")]
    cases += [case("wrn10-2", 2, [3, 8, 8], 4), case("wrn16-1", 2, [3, 8, 8], 4, training=True)]
    cases += [case("vgg9", 2, [3, 12, 9], 4), case("vgg9-bn", 2, [3, 8, 8], 4)]
    cases += [case("vgg11-bn", 2, [3, 32, 32], 4, f64_alone=True)]
    cases += [case("alexnet", 2, [3, 16, 16], 4, f64_alone=True)]
    cases += [case("vit:patch=2,width=8,depth=2,heads=2,mlp=12", 2, [3, 4, 6], 4)]
    cases += [case(f"{GPT},bias={bias}", 3, [length], 7) for bias, length in (("true", 6), ("false", 4))]
    cases += [case("resnet50:imagenet", 2, [3, 32, 32], 3, loss="mse", f64_alone=True)]
    cases += [case(HUGGING_FACE_GPT2, 3, [length], 7) for length in (6, 4)]
    tensors = model_cases(cases)
    tensors["gpt.logits"] = gpt_file()
    tensors["hf-gpt2.logits"] = hugging_face_files()
    layouts = []
    for spec, shape, outputs in [
        ("resnet18:imagenet", [3, 224, 224], 1000),
        ("resnet34:cifar", [3, 32, 32], 10),
        ("resnet50:imagenet", [3, 224, 224], 1000),
        ("resnet101:imagenet", [3, 224, 224], 1000),
        ("resnet20", [3, 32, 32], 10),
        ("resnet56", [3, 32, 32], 10),
        ("vgg16:imagenet", [3, 224, 224], 1000),
        ("vgg16-bn:imagenet", [3, 224, 224], 1000),
        ("vgg16-bn", [3, 32, 32], 10),
        ("alexnet:imagenet", [3, 224, 224], 1000),
        ("wrn28-10", [3, 32, 32], 10),
        ("vit:patch=16,width=768,depth=12,heads=12,mlp=3072", [3, 224, 224], 1000),
        ("gpt:vocabulary=50257,context=1024,width=768,depth=12,heads=12,bias=true", [8], 50257),
        ("hf-gpt2:vocabulary=50257,context=1024,width=768,depth=12,heads=12", [8], 50257),
    ]:
        with torch.device("meta"):
            model = module(spec, shape, outputs)
        layout = [[name, list(p.shape)] for name, p in model.named_parameters()]
        layouts.append({"model": spec, "shape": shape, "outputs": outputs, "parameters": layout})
    write("zoo.safetensors", tensors, {"cases": cases, "layouts": layouts})


def gpt_file():
    """Saves a GPT, which holds its tied weight under two names, in f32; its logits, from the saved weights in f64."""
    model = module(f"{GPT},bias=true", [6], 7).float()
    fill(model)
    save_model(model, HERE / "gpt.safetensors")
    return model.double()(tokens(0, case(GPT, 3, [6], 7)))


def hugging_face_files():
    """Saves a GPT-2 with and without its head, as `save_pretrained` names their tensors; the logits of both in f64."""
    model = module(HUGGING_FACE_GPT2, [6], 7).float().eval()
    fill(model)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    torch.save(model.state_dict(), HERE / "hf-gpt2.bin")
    save_file(bare, HERE / "hf-gpt2-bare.safetensors")
    return model.double()(tokens(0, case(HUGGING_FACE_GPT2, 3, [6], 7)))


def state_dict():
    """Saves a module trained a little in f32; its logits, computed from the saved weights in f64."""
    model = module("mlp:6-8-3:gelu:bn", [6], 3).float()
    fill(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(numbers(420 + step, 5, 6).float()), torch.arange(5) % 3).backward()
        optimizer.step()
    save_file(model.state_dict(), HERE / "state_dict.safetensors")
    return model.double().eval()(1.5 * numbers(400, 5, 6))


# A spectrum.


def spectrum():
    model = module("mlp:4-6-5-3:tanh", [4], 3)
    fill(model)
    samples = 20
    x, labels = 1.5 * numbers(400, samples, 4), torch.arange(samples) * 2 % 3
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
    theta = nn.utils.parameters_to_vector(model.parameters()).detach()
    names, shapes = zip(*[(name, p.shape) for name, p in model.named_parameters()])

    def logits(theta):
        parts = theta.split([shape.numel() for shape in shapes])
        parts = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes)}
        return torch.func.functional_call(model, parts, (x,))

    each = lambda theta: F.cross_entropy(logits(theta), labels, reduction="none")
    hessian = torch.autograd.functional.hessian(lambda theta: each(theta).mean(), theta)
    jacobian = torch.autograd.functional.jacobian(logits, theta)
    p = torch.softmax(logits(theta), 1).detach()
    output_hessians = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    gauss_newton = torch.einsum("ncp,ncd,ndq->pq", jacobian, output_hessians, jacobian) / samples
    gradients = torch.autograd.functional.jacobian(each, theta)
    fisher = gradients.T @ gradients / samples
    matrices = {"hessian": hessian, "gauss_newton": gauss_newton, "empirical_fisher": fisher}
    tensors = {name: torch.from_numpy(np.linalg.eigvalsh(matrix)[::-1].copy()) for name, matrix in matrices.items()}
    sizes = {"model": "mlp:4-6-5-3:tanh", "samples": samples, "shape": [4], "classes": 3}
    write("spectrum.safetensors", {**tensors, "theta": theta}, sizes)


# Optimizers on L = sum of c x^2/2 + x^4/4 + 0.3 x x_next, with c = 1, 2, … and x_next the next element, cyclic; 20
# steps from stream 0, with the learning rate halved from step 10 on.


def optimizers():
    rates = {"learning_rate": 0.05, "weight_decay": 0.0}
    sgd = lambda **more: {"name": "sgd", **rates, "momentum": 0.0, "nesterov": False, **more}
    adam = lambda **more: {"name": "adam", **rates, **more}
    settings = [
        sgd(),
        sgd(weight_decay=0.1),
        sgd(momentum=0.9),
        sgd(momentum=0.9, weight_decay=0.1),
        sgd(momentum=0.9, nesterov=True, weight_decay=0.1),
        adam(),
        adam(weight_decay=0.3),
        adam(beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.3),
        adam(name="adamw"),
        adam(name="adamw", weight_decay=0.3),
        adam(name="adamw", beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.3),
        {"name": "rmsprop", **rates},
        {"name": "rmsprop", **rates, "momentum": 0.9, "weight_decay": 0.1},
        {"name": "rmsprop", **rates, "alpha": 0.8, "epsilon": 1e-3, "momentum": 0.5},
        {"name": "adagrad", **rates},
        {"name": "adagrad", **rates, "epsilon": 1e-2, "weight_decay": 0.1},
        {"name": "lbfgs", "learning_rate": 0.7, "history": 3},
    ]
    size = 8
    tensors = {}
    for i, case in enumerate(settings):
        x = numbers(0, size).requires_grad_()
        if case["name"] == "sgd":
            more = {key: case[key] for key in ("momentum", "nesterov", "weight_decay")}
            optimizer = torch.optim.SGD([x], lr=case["learning_rate"], **more)
        elif case["name"] == "rmsprop":
            more = {key: case[key] for key in ("alpha", "momentum", "weight_decay") if key in case}
            optimizer = torch.optim.RMSprop([x], lr=case["learning_rate"], eps=case.get("epsilon", 1e-8), **more)
        elif case["name"] == "adagrad":
            more = {"eps": case.get("epsilon", 1e-10), "weight_decay": case["weight_decay"]}
            optimizer = torch.optim.Adagrad([x], lr=case["learning_rate"], **more)
        elif case["name"] == "lbfgs":
            # One iteration a step, of a length that is not searched: each lowers the loss enough for a search to keep it.
            more = {"max_iter": 1, "tolerance_grad": 0.0, "tolerance_change": 0.0}
            optimizer = torch.optim.LBFGS([x], lr=case["learning_rate"], history_size=case["history"], **more)
        else:
            kind = torch.optim.Adam if case["name"] == "adam" else torch.optim.AdamW
            betas = (case.get("beta1", 0.9), case.get("beta2", 0.999))
            epsilon = case.get("epsilon", 1e-8)
            optimizer = kind([x], lr=case["learning_rate"], betas=betas, eps=epsilon, weight_decay=case["weight_decay"])
        trajectory = []
        # PyTorch's LBFGS leaves out pairs of less curvature than 1e-10, of which 10 steps have none.
        for step in range(10 if case["name"] == "lbfgs" else 20):
            optimizer.param_groups[0]["lr"] = case["learning_rate"] * (1.0 if step < 10 else 0.5)

            def loss():
                optimizer.zero_grad()
                value = (torch.arange(1, size + 1) * x**2 / 2 + x**4 / 4 + 0.3 * x * x.roll(-1)).sum()
                value.backward()
                return value

            optimizer.step(loss)
            trajectory.append(x.detach().clone())
        tensors[f"{i}.trajectory"] = torch.stack(trajectory)
    write("optimizers.safetensors", tensors, {"settings": settings})


# Batches of a batch norm are 2 x + 1 with x from streams 0, 1, …


def running_statistics():
    batch_sizes, channels = [5, 4, 3, 2], 3
    batch_norm = nn.BatchNorm1d(channels)
    for stream, size in enumerate(batch_sizes):
        batch_norm(2.0 * numbers(stream, size, channels) + 1.0)
    tensors = {"running_mean": batch_norm.running_mean, "running_var": batch_norm.running_var}
    write("running_statistics.safetensors", tensors, {"batch_sizes": batch_sizes, "channels": channels})


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    operations()
    losses()
    models()
    zoo()
    spectrum()
    optimizers()
    running_statistics()
