"""Expected inputs from torchvision for `tests/goldens/inputs.rs`.

    python tests/goldens/inputs.py

with torch, torchvision, Pillow, pyarrow and safetensors installed, writes anew, beside this script:

| file | holds |
|---|---|
| `preprocessing.safetensors` | images `x`, and what torchvision's transforms make of them; names are as basin writes what is done |
| `images/` | a folder of classes with images of each kind, for `images:DIR` |
| `images.safetensors` | what torchvision's `ImageFolder` reads there, in colour and in grey |
| `images-train.parquet`, `images-test.parquet` | images and labels in the layout of Hugging Face |
"""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

HERE = Path(__file__).parent
IMAGENET = v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def resize(size):
    return v2.Resize(size, interpolation=v2.InterpolationMode.BILINEAR, antialias=True)


def preprocessing(sums):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((2, 3, 13, 17), generator=generator)
    cases = {
        "resize=7": [resize(7)],
        "resize=20": [resize(20)],
        "resize=13": [resize(13)],
        "resize=5x40": [resize((5, 40))],
        "resize=1x1": [resize((1, 1))],
        "center-crop=6": [v2.CenterCrop(6)],
        "center-crop=8x5": [v2.CenterCrop((8, 5))],
        "center-crop=20": [v2.CenterCrop(20)],
        "center-crop=10x30": [v2.CenterCrop((10, 30))],
        "resize=9;center-crop=6;standardize=imagenet": [resize(9), v2.CenterCrop(6), IMAGENET],
        "standardize=0.25:0.5": [v2.Normalize((0.25,) * 3, (0.5,) * 3)],
        "standardize=0.1,0.2,0.3:1,2,3": [v2.Normalize((0.1, 0.2, 0.3), (1, 2, 3))],
    }
    tensors = {name: v2.Compose(steps)(x).clone() for name, steps in cases.items()}
    save_file({"x": x, "y": torch.zeros(2, dtype=torch.int64), **tensors}, HERE / "preprocessing.safetensors",
              metadata={"parquet": json.dumps(sums)})


def images():
    folder = HERE / "images"
    shutil.rmtree(folder, ignore_errors=True)
    rng = np.random.default_rng(0)
    bytes_of = lambda *shape: rng.integers(0, 256, shape, dtype=np.uint8)
    rgb = Image.fromarray(bytes_of(6, 5, 3))
    kinds = {
        "b/rgb.png": rgb,
        "b/grey.png": Image.fromarray(bytes_of(6, 5)),
        "b/10.png": Image.fromarray(bytes_of(6, 5) > 127),
        "b/9.png": Image.fromarray(bytes_of(6, 5, 2), "LA"),
        "B/alpha.png": Image.fromarray(bytes_of(6, 5, 4)),
        "B/palette.png": rgb.quantize(7),
        "a/deep.png": Image.fromarray(rng.integers(0, 65536, (6, 5), dtype=np.uint16)),
        "a/inner/webp.webp": rgb,
        "a/jpeg.JPG": Image.fromarray(bytes_of(2, 2, 3)).resize((5, 6), Image.Resampling.BICUBIC),
    }
    for name, image in kinds.items():
        path = folder / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        how = {"lossless": True} if name.endswith("webp") else {"quality": 95, "subsampling": 0} if name.endswith("JPG") else {}
        image.save(path, **how)
    test = folder / "val" / "b"
    test.mkdir(parents=True)
    rgb.save(test / "one.png")
    found = ImageFolder(folder / "train")
    to_tensor = v2.Compose([v2.PILToTensor()])
    colour = torch.stack([to_tensor(image) for image, _ in found])
    grey = torch.stack([to_tensor(image.convert("L")) for image, _ in found])
    names = [str(Path(path).relative_to(folder / "train")) for path, _ in found.samples]
    labels = torch.tensor(found.targets)
    save_file({"colour": colour / 255, "grey": grey / 255, "labels": labels / 1.0}, HERE / "images.safetensors",
              metadata={"golden": json.dumps({"names": names})})


def parquet():
    """Writes the files; the sum of all bytes of the images of each."""
    sums = []
    rng = np.random.default_rng(1)
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog", "owl"], "_type": "ClassLabel"}}
    for split, samples, compression in [("train", 7, "snappy"), ("test", 3, "zstd")]:
        rows = []
        sums.append(0)
        for _ in range(samples):
            file = io.BytesIO()
            pixels = rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
            sums[-1] += int(pixels.sum())
            Image.fromarray(pixels).save(file, "png")
            rows.append({"bytes": file.getvalue(), "path": None})
        image = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        label = pa.array([i % 2 for i in range(samples)], pa.int64())
        table = pa.table({"image": image, "label": label})
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pa.parquet.write_table(table, HERE / f"images-{split}.parquet", compression=compression, row_group_size=4)
    return sums


images()
preprocessing(parquet())
