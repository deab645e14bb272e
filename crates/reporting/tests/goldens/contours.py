"""Golden contour lines by contourpy (the library behind matplotlib's), of functions with known contours.

    python crates/reporting/tests/goldens/contours.py

from the top of the repository writes `contours.json` beside this file; it needs Python with numpy and contourpy.
"""

import json
from pathlib import Path

import contourpy
import numpy as np

ROSENBROCK = lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2
SADDLE = lambda x, y: x**2 - y**2 + 0.1 * x * y
# Ambiguous cells in which the middle lies on either side. No level is a value of the grid: there conventions differ.
WAVES = lambda x, y: np.sin(3 * x) * np.sin(3 * y) + 0.05 * x

CASES = [
    ("rosenbrock", ROSENBROCK, (-1.5, 2.0, 41), (-0.5, 3.0, 29), [0.5, 2.0, 10.0, 50.0, 200.0], None),
    ("saddle", SADDLE, (-1.0, 1.0, 12), (-1.0, 1.0, 17), [-0.5, -0.013, 0.013, 0.4], None),
    ("waves", WAVES, (-2.0, 2.0, 9), (-2.0, 2.0, 11), [-0.4, -0.057, 0.023, 0.3], None),
    ("hole", SADDLE, (-1.0, 1.0, 14), (-1.0, 1.0, 9), [-0.3, 0.11, 0.5], lambda x, y: np.hypot(x - 0.3, y + 0.2) < 0.3),
]


def lines(name, f, x, y, levels, missing):
    x, y = np.linspace(*x), np.linspace(*y)
    mesh = np.meshgrid(x, y)
    z = f(*mesh)
    if missing:
        z = np.where(missing(*mesh), np.nan, z)
    generator = contourpy.contour_generator(x, y, z, name="serial", corner_mask=False)
    return {
        "name": name,
        "x": x.tolist(),
        "y": y.tolist(),
        "values": [[None if np.isnan(value) else value for value in row] for row in z.tolist()],
        "levels": [{"level": level, "lines": [line.tolist() for line in generator.lines(level)]} for level in levels],
    }


text = ",\n".join(json.dumps(lines(*case)) for case in CASES)
Path(__file__).with_name("contours.json").write_text(f"[\n{text}\n]\n")
