"""Exports the networks of networks.py and writes beside each what PyTorch computes in f64.

    python tests/torch/export.py DIR [small|large|static|NAME …]

DIR/NAME.pt2 holds the network, DIR/NAME.safetensors its inputs and classes (`input.…`, `y`), its output, the mean
cross-entropy, the gradient, a vector v and H v, each by the parameters' names.
"""

import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import networks
import torch
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

DYNAMIC = torch.export.Dim.DYNAMIC


def hardsigmoid(x, inplace=False):
    """The same function of operations that PyTorch can differentiate twice."""
    return torch.nn.functional.relu6(x + 3) / 6


class Double(TorchFunctionMode):
    """Numbers stay in f64 where a network goes to f32 for a while, as rotary embeddings and norms of Hugging Face do: between
    types of floating point numbers, basin computes in the type that it was asked for."""

    def __torch_function__(self, function, types, arguments=(), named=None):
        named = {key: torch.float64 if value is torch.float32 else value for key, value in (named or {}).items()}
        arguments = tuple(torch.float64 if value is torch.float32 else value for value in arguments)
        if function is torch.Tensor.float:
            return arguments[0].double()
        return function(*arguments, **named)


def call(model, inputs):
    output = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    return output if isinstance(output, torch.Tensor) else output[0]


def exported(model, inputs, samples):
    """For any number of samples, or for one alone as PyTorch does where no axis is said to be dynamic."""
    if samples:
        first = lambda x: x[:samples]  # noqa: E731
        if isinstance(inputs, dict):
            return torch.export.export(model, (), {name: first(x) for name, x in inputs.items()})
        return torch.export.export(model, tuple(first(x) for x in inputs))
    if isinstance(inputs, dict):
        return torch.export.export(model, (), inputs, dynamic_shapes={name: {0: DYNAMIC} for name in inputs})
    return torch.export.export(model, inputs, dynamic_shapes=tuple({0: DYNAMIC} for _ in inputs))


def figures(model, inputs, moving=None):
    """Output, classes, loss, gradient and a product of the Hessian with a vector, zero but for the parameters that are moving."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    output = call(model, inputs)
    classes = torch.randint(output.shape[-1], output.shape[:-1])
    loss = torch.nn.functional.cross_entropy(output.flatten(0, -2), classes.flatten())
    gradient = torch.autograd.grad(loss, list(parameters.values()), create_graph=True, allow_unused=True)
    used = {name: (p, g) for (name, p), g in zip(parameters.items(), gradient) if g is not None}
    v = {name: torch.randn_like(p) for name, (p, _) in used.items()}
    v = {name: x if moving is None or name in moving else torch.zeros_like(x) for name, x in v.items()}
    slope = sum((g * v[name]).sum() for name, (_, g) in used.items())
    product = torch.autograd.grad(slope, [p for p, _ in used.values()], allow_unused=True)
    tensors = {"output": output, "y": classes, "loss": loss}
    for (name, (p, g)), hv in zip(used.items(), product):
        tensors |= {f"gradient.{name}": g, f"v.{name}": v[name], f"hv.{name}": torch.zeros_like(p) if hv is None else hv}
    return tensors


def main(directory, names):
    # Paths of the machine that wrote them have no place in committed files.
    torch.fx.config.do_not_emit_stack_traces = True
    directory.mkdir(parents=True, exist_ok=True)
    every = networks.SMALL | networks.LARGE
    groups = {"small": networks.SMALL, "large": networks.LARGE, "static": networks.STATIC}
    names = [name for word in names or groups for name in groups.get(word, [word])]
    for name in names:
        torch.manual_seed(1)
        network, samples = networks.STATIC.get(name, (name, None))
        model, inputs = every[network]()
        model = model.double().eval()
        if hasattr(model, "config"):
            model.config.use_cache = False
            model.config._attn_implementation = "sdpa"
        torch.export.save(exported(model, inputs, samples), directory / f"{name}.pt2")
        # The fused kernels of attention have no second derivative.
        with Double(), sdpa_kernel(SDPBackend.MATH), patch("torch.nn.functional.hardsigmoid", hardsigmoid):
            tensors = figures(model, inputs)
        given = inputs.items() if isinstance(inputs, dict) else enumerate(inputs)
        tensors |= {f"input.{place}": x for place, x in given}
        save_file({key: x.detach().contiguous() for key, x in tensors.items()}, directory / f"{name}.safetensors")
        print(name, flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(Path(sys.argv[1]), sys.argv[2:])
