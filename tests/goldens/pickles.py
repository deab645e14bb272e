"""Writes the small files of `tests/goldens/pickles/`: what `torch.save` and `pickle.dump` make of state_dicts.

Run with PyTorch 2.15: python tests/goldens/pickles.py
"""

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).with_name("pickles")
FOLDER.mkdir(exist_ok=True)


def save(name, value, **options):
    torch.save(value, FOLDER / name, **options)


def layer(offset=0.0):
    return OrderedDict(
        [
            ("fc1.weight", torch.arange(6.0).reshape(2, 3) + offset),
            ("fc1.bias", torch.tensor([0.5, -0.5]) + offset),
        ]
    )


save("zip.pt", layer())
save("legacy.pth", layer(), _use_new_zipfile_serialization=False)
for protocol in range(6):
    save(f"protocol{protocol}.pt", layer(), pickle_protocol=protocol)
    save(f"legacy{protocol}.pt", layer(), pickle_protocol=protocol, _use_new_zipfile_serialization=False)

base = torch.arange(12.0)
save(
    "views.pt",
    {
        "transposed": base.reshape(3, 4).t(),
        "shared": base[2:5],
        "strided": base[1::3],
        "expanded": base[3:4].expand(2, 3),
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 3),
        "permuted": base.reshape(2, 3, 2).permute(2, 0, 1),
    },
)
tied = torch.arange(4.0).reshape(2, 2)
save("tied.pt", {"wte.weight": tied, "lm_head.weight": tied})
save(
    "types.pt",
    {
        "half": torch.tensor([0.5], dtype=torch.float16),
        "brain": torch.tensor([0.25], dtype=torch.bfloat16),
        "double": torch.tensor([0.1], dtype=torch.float64),
        "long": torch.tensor([-3]),
        "bool": torch.tensor([True, False]),
        "complex": torch.tensor([1j]),
        "short": torch.tensor([5], dtype=torch.uint16),
    },
)
save("parameter.pt", {name: torch.nn.Parameter(value) for name, value in layer().items()})

model = torch.nn.Linear(3, 2)
model.load_state_dict({"weight": layer()["fc1.weight"], "bias": layer()["fc1.bias"]})
optimizer = torch.optim.Adam(model.parameters())
model(torch.ones(1, 3)).sum().backward()
optimizer.step()
save(
    "trainer.ckpt",
    {
        "epoch": 3,
        "best_prec1": np.float64(91.5),
        "arch": "linear",
        "args": argparse.Namespace(lr=0.1),
        "optimizer": optimizer.state_dict(),
        "model": layer(),
    },
)
save("ema.pt", {"state_dict": layer(), "state_dict_ema": layer(10.0)})
save("unclear.pt", {"encoder": layer(), "decoder": layer()})
save(
    "lightning.ckpt",
    {
        "epoch": 2,
        "global_step": 20,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict((f"model.{name}", value) for name, value in layer().items()),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {},
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": {"lr": 0.1},
    },
)
# Names of a `Sequential`.
save("sequential.pt", OrderedDict((name.replace("fc1", "net.0"), value) for name, value in layer().items()))
save("module.pt", model)
save("module_legacy.pt", model, _use_new_zipfile_serialization=False)

# `pickle.dump` of NumPy arrays, by NumPy 2 and under the names of NumPy 1, and of tensors.
arrays = {name: value.numpy() for name, value in layer().items()}
for protocol in range(6):
    (FOLDER / f"numpy{protocol}.pkl").write_bytes(pickle.dumps(arrays, protocol))
(FOLDER / "numpy-1.pkl").write_bytes(pickle.dumps(arrays, 2).replace(b"numpy._core", b"numpy.core"))
numbers = np.arange(6.0).reshape(2, 3)
types = {
    "c": numbers,
    "fortran": np.asfortranarray(numbers),
    "strided": np.arange(12.0).reshape(2, 6)[:, ::2] / 2,
    "big": numbers.astype(">f4"),
    "big fortran": np.asfortranarray(numbers.astype(">f8")),
    "half": numbers.astype("f2"),
    "bool": numbers > 2,
    "byte": numbers.astype("i1"),
    "long": numbers.astype(">i8"),
    "unsigned": numbers.astype("u4"),
    "scalar": np.array(1.5),
    "empty": np.zeros((0, 3)),
    "ünï\n\\u": np.float32([1]),
    "words": np.array(["a", "b"]),
    "objects": np.array([{}, None]),
    "epoch": np.int64(3),
    "accuracy": np.float64(0.5).astype(">f8"),
}
for protocol in (0, 2, 4, 5):
    (FOLDER / f"numpy-types{protocol}.pkl").write_bytes(pickle.dumps(types, protocol))
save("numpy.pt", arrays)
(FOLDER / "tensors.pkl").write_bytes(pickle.dumps(layer()))


class Malicious:
    def __reduce__(self):
        return os.system, ("touch /tmp/basin-was-here",)


save("malicious.pt", {"fc1.weight": torch.zeros(1), "x": Malicious()})
with open(FOLDER / "malicious.pkl", "wb") as file:
    pickle.dump({"x": Malicious()}, file)

# Data for them.
rng = np.random.default_rng(0)
np.savez(FOLDER / "three-numbers.npz", x=rng.normal(size=(8, 3)).astype(np.float32), y=np.arange(8) % 2)
# Images of CIFAR-10's size, in few bytes.
np.savez_compressed(FOLDER / "images.npz", x=np.tile(np.float32([[[[0.5, -0.5]]]]), (10, 3, 32, 16)), y=np.arange(10))
