"""Exports the networks of networks.py as ONNX files, and writes beside each what PyTorch computes in f64.

    python tests/torch/export_onnx.py DIR [small|large|static|optimized|older|NAME …]
    python tests/torch/export_onnx.py --goldens

As export.py, of which it takes the figures; the second writes the committed files. NAME is a network's name, with
`-optimized` for what the exporter makes of it where it is left to optimise, `-older` or `-older13` for PyTorch's older
exporter (opset 17 or 13), `-older-folded` for that one's constant folding.
"""

import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import export
import networks
import onnx
import torch
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel

# The committed files, and whether they have a reference of their own; others share one, or are not computed.
GOLDENS = {
    "mlp": False, "small-cnn": False, "activations": False, "arithmetic": False, "shapes": False, "convolutions": False,
    "tied": True, "recurrent": False, "hf-bert": False, "hf-gpt2": False, "mlp-of-one": False, "mlp-optimized": True,
    "small-cnn-optimized": True, "small-cnn-older": False, "small-cnn-older-folded": False, "recurrent-optimized": True,
    "recurrent-older13": True, "tied-older-folded": True, "convolutions-optimized": False,
}  # fmt: skip

# Of these, nodes keep what says where they stand; of others, those that the reader mends by it.
PLACED = ["small-cnn", "small-cnn-optimized"]
MENDED = ["GRU", "SpaceToDepth", "Gather"]

# Exporters that leave not all parameters as they are.
REARRANGING = ["optimized", "older-folded"]
# Large networks that are exported in each way; all others would fill the disk.
OFTEN = [
    "tv-resnet18", "tv-mobilenet-v2", "tv-efficientnet", "tv-shufflenet", "tv-vit", "tv-swin", "timm-swin", "hf-vit", "hf-roberta",
    "hf-distilbert", "hf-qwen2", "hf-convnext", "hf-resnet",
]  # fmt: skip
SUFFIXES = ["-optimized", "-older-folded", "-older13", "-older"]


# What is not compared, and why. Of the older exporter's files those that it cannot write are told as they come.
LOOP = "the exporter writes a Loop for its pooling"
EXPORTER = "the exporter cannot write it"
FIXED = "positions for a fixed number of samples are computed in a way that is not read"
POSITIONS = "positions for each sample are computed in a way that is not read"
BUFFER = "a buffer that is multiplied is taken for a parameter, and said so"
INPUTS = "the exporter makes inputs of its own"
LEFT_OUT = {
    "tv-swin": LOOP, "tv-swin-v2": LOOP, "timm-convnext": LOOP, "timm-convnext-v2": LOOP, "timm-beit": EXPORTER, "hf-swin": EXPORTER,
    "recurrent-of-three": FIXED, "hf-bert-of-three": FIXED, "tv-swin-of-three": LOOP, "shapes-older": POSITIONS, "tv-swin-v2-older": BUFFER,
    "hf-bert-older": POSITIONS, "hf-bert-mlm-older": POSITIONS, "hf-distilbert-older": POSITIONS, "hf-roberta-older": POSITIONS,
    "hf-gpt2-masked-older": INPUTS, "hf-llama-masked-older": INPUTS,
}  # fmt: skip


def kind(name):
    """The network, the number of samples it is exported for where that is fixed, and the exporter."""
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")
    network, samples = networks.STATIC.get(name.removesuffix(suffix), (name.removesuffix(suffix), None))
    return network, samples, suffix.removeprefix("-") or "unoptimized"


def build(name):
    """The network with its inputs. What merges equal tensors would merge weights that were never trained."""
    network, _, exporter = kind(name)
    torch.manual_seed(1)
    model, inputs = (networks.SMALL | networks.LARGE)[network]()
    model = model.double().eval()
    if exporter != "unoptimized" or network == "tied":
        # ONNX does not say that a parameter is frozen.
        for parameter in model.parameters():
            parameter.requires_grad_(True)
    if exporter in REARRANGING:
        for parameter in model.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter)
    for module in model.modules():
        # Nor, by the older exporter, that a row of an embedding is that of padding, and left alone.
        if isinstance(module, torch.nn.Embedding) and exporter.startswith("older"):
            module.padding_idx = None
    if hasattr(model, "config"):
        model.config.use_cache = False
        model.config._attn_implementation = "sdpa"
    return model, inputs


def write(name, model, inputs, path):
    _, samples, exporter = kind(name)
    cut = (lambda x: x[:samples]) if samples else (lambda x: x)
    named = isinstance(inputs, dict)
    arguments = () if named else tuple(cut(x) for x in inputs)
    keywords = {key: cut(x) for key, x in inputs.items()} if named else None
    axes = {0: export.DYNAMIC}
    if exporter in ("unoptimized", "optimized"):
        dynamic = {key: axes for key in inputs} if named else tuple(axes for _ in inputs)
        torch.onnx.export(
            model, arguments, path, kwargs=keywords, dynamo=True, optimize=exporter == "optimized", verbose=False,
            external_data=False, dynamic_shapes=None if samples else dynamic,
        )  # fmt: skip
    else:
        names = list(inputs) if named else [f"x{i}" if i else "x" for i in range(len(inputs))]
        torch.onnx.export(
            model, arguments, path, kwargs=keywords, dynamo=False, opset_version=13 if exporter == "older13" else 17,
            input_names=names, do_constant_folding=exporter == "older-folded",
            dynamic_axes=None if samples else {key: {0: "N"} for key in names},
        )  # fmt: skip


def stripped(path, placed):
    """Without what names files of the machine that wrote it, and what the reader does not need."""
    file = onnx.load(path)
    needed = {
        "pkg.torch.export.graph_signature.InputSpec.kind", "pkg.torch.export.graph_signature.InputSpec.persistent",
        "pkg.onnxscript.optimizer.folded_from", "pkg.onnxscript.rewriter.rule_name",
    }  # fmt: skip
    where = {"pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.fx_node"}
    for item in [*file.graph.node, *file.graph.value_info, *file.graph.input, *file.graph.output]:
        keys = needed | where if placed or getattr(item, "op_type", "") in MENDED else needed
        kept = [entry for entry in item.metadata_props if entry.key in keys]
        del item.metadata_props[:]
        item.metadata_props.extend(kept)
        item.ClearField("doc_string")
    onnx.save(file, path)
    return file


def by_names_of(file, model, exporter):
    """Figures of parameters under the names in the file; those of tensors that are none of the network's, as they are or
    turned, are left out."""
    found = {}
    own = dict(model.named_parameters(remove_duplicate=False))
    shared = {}
    for name, parameter in own.items():
        shared.setdefault(id(parameter), []).append(name)
    first = {name: names[0] for names in shared.values() for name in names}
    floats = [t for t in file.graph.initializer if t.data_type in (onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT)]
    buffers = {name for name, _ in model.named_buffers()}
    direct = {first[f.name] for f in floats if f.name in first}
    for tensor in [tensor for tensor in floats if tensor.name not in buffers]:
        numbers = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        # What has a parameter's name may be folded, what has another may be a parameter turned.
        names = [first[tensor.name]] if tensor.name in own else set(first.values()) if exporter in REARRANGING else []
        for name in names:
            if torch.equal(own[name].data, numbers):
                found[tensor.name] = (name, False)
            elif name not in direct and numbers.dim() == own[name].dim() == 2 and torch.equal(own[name].data.t(), numbers):
                found[tensor.name] = (name, True)
    for node in file.graph.node:
        if node.op_type == "Identity" and node.output[0] in own:
            found[node.output[0]] = (first[node.output[0]], False)
    covered = {name for name, _ in found.values()}
    return found, covered


def main(directory, names):
    directory.mkdir(parents=True, exist_ok=True)
    small = [name for name in networks.SMALL]
    groups = {
        "small": small, "large": list(networks.LARGE), "static": list(networks.STATIC),
        "optimized": [f"{name}-optimized" for name in [*small, *OFTEN]],
        "older": [f"{name}-older" for name in [*small, *OFTEN]],
    }  # fmt: skip
    for name in [name for word in names or groups for name in groups.get(word, [word])]:
        path = directory / f"{name}.onnx"
        if reason := LEFT_OUT.get(name) or LEFT_OUT.get(name.removesuffix("-optimized")):
            print(f"{name}: left out, {reason}", flush=True)
            continue
        model, inputs = build(name)
        try:
            write(name, model, inputs, str(path))
        except Exception as error:
            if not kind(name)[2].startswith("older"):
                raise
            path.unlink(missing_ok=True)
            print(f"{name}: PyTorch's older exporter cannot write it ({type(error).__name__})", flush=True)
            continue
        file = stripped(path, name not in GOLDENS or name in PLACED)
        found, covered = by_names_of(file, model, kind(name)[2])
        with export.Double(), sdpa_kernel(SDPBackend.MATH), patch("torch.nn.functional.hardsigmoid", export.hardsigmoid):
            tensors = export.figures(model, inputs, covered)
        written = {key: tensors[key] for key in ("output", "y", "loss")}
        for own, (parameter, turned) in found.items():
            for figure in ("gradient", "v", "hv"):
                tensor = tensors.get(f"{figure}.{parameter}")
                if tensor is not None:
                    written[f"{figure}.{own}"] = tensor.t() if turned else tensor
        given = inputs.items() if isinstance(inputs, dict) else enumerate(inputs)
        written |= {f"input.{place}": x for place, x in given}
        if kind(name)[2] in REARRANGING:
            # Not all parameters of the file are those of the network.
            written["partial"] = torch.ones(1)
        save_file({key: x.detach().clone().contiguous() for key, x in written.items()}, path.with_suffix(".safetensors"))
        print(name, flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if sys.argv[1:] == ["--goldens"]:
        goldens = Path(__file__).parents[1] / "goldens/onnx"
        main(goldens, list(GOLDENS))
        for name in [name for name, own in GOLDENS.items() if not own]:
            (goldens / f"{name}.safetensors").unlink()
    else:
        main(Path(sys.argv[1]), sys.argv[2:])
