"""Golden iterates of SciPy's L-BFGS-B and golden values of Keskar's measure.

    python tests/goldens/lbfgsb.py

writes `lbfgsb.json` and `keskar.json` beside this file. Random data come from numpy's PCG64 and are written into the
files, so that no reader has to draw them again. Both tolerances are 0: only iterations count, as in Keskar et al.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import minimize

HERE = Path(__file__).parent
VERSIONS = {"numpy": np.__version__, "scipy": scipy.__version__}


def rosenbrock(x):
    a, b = x[:-1], x[1:]
    value = np.sum(100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2)
    gradient = np.zeros_like(x)
    gradient[:-1] = -400.0 * a * (b - a**2) - 2.0 * (1.0 - a)
    gradient[1:] += 200.0 * (b - a**2)
    return value, gradient


def quadratic(matrix, linear):
    def function(x):
        product = matrix @ x
        return 0.5 * x @ product + linear @ x, product + linear

    return function


def logistic(features, signs, penalty):
    """Mean log(1 + exp(−sᵢ xᵢᵀw)) + ½ penalty ‖w‖²."""

    def function(w):
        margins = signs * (features @ w)
        value = np.mean(np.logaddexp(0.0, -margins)) + 0.5 * penalty * w @ w
        weights = -signs / (1.0 + np.exp(margins)) / len(signs)
        return value, features.T @ weights + penalty * w

    return function


def run(function, start, lower, upper, iterations, memory=10):
    lower, upper, start = (np.asarray(v, dtype=float) for v in (lower, upper, start))
    iterates = []
    bounds = [(None if np.isinf(l) else l, None if np.isinf(u) else u) for l, u in zip(lower, upper)]
    result = minimize(
        function,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        callback=lambda intermediate_result: iterates.append(
            [float(intermediate_result.fun), intermediate_result.x.tolist()]
        ),
        options={"maxiter": iterations, "ftol": 0.0, "gtol": 0.0, "maxcor": memory, "maxfun": 10**6},
    )
    finite = lambda v: [None if np.isinf(e) else e for e in v.tolist()]
    return {
        "start": start.tolist(),
        "lower": finite(lower),
        "upper": finite(upper),
        "max_iterations": iterations,
        "memory": memory,
        "iterates": iterates,
        "value": float(result.fun),
        "iterations": int(result.nit),
        "evaluations": int(result.nfev),
        "message": result.message,
    }


def problems():
    rng = np.random.default_rng(0)
    inf = np.inf
    n = 25
    classic = np.where(np.arange(n) % 2 == 0, 3.0, 4.0)

    def case(name, function, *arguments, **more):
        return {"name": name, "function": function, **run(*arguments, **more)}

    for dimension, iterations in ((2, 25), (25, 30)):
        start = np.where(np.arange(dimension) % 2 == 0, -1.2, 1.0)
        free = np.full(dimension, inf)
        kind = {"kind": "rosenbrock"}
        yield case(f"rosenbrock {dimension}", kind, rosenbrock, start, -free, free, iterations)
        box = np.full(dimension, 0.8)
        yield case(f"rosenbrock {dimension}, active bounds", kind, rosenbrock, start, -1.5 * np.ones(dimension), box, iterations)
    # The driver1 problem of L-BFGS-B: odd variables in [1, 100], even ones in [−100, 100].
    lower = np.where(np.arange(n) % 2 == 0, 1.0, -100.0)
    yield case("rosenbrock 25, driver", {"kind": "rosenbrock"}, rosenbrock, classic - 0.5, lower, np.full(n, 100.0), 30, memory=5)
    half = np.where(np.arange(n) % 3 == 0, inf, 0.7)
    yield case("rosenbrock 25, one-sided", {"kind": "rosenbrock"}, rosenbrock, np.zeros(n), np.full(n, -inf), half, 30)
    fixed_lower, fixed_upper = np.full(n, -2.0), np.full(n, 2.0)
    fixed_lower[[3, 11]] = fixed_upper[[3, 11]] = 0.5
    yield case("rosenbrock 25, fixed variables", {"kind": "rosenbrock"}, rosenbrock, np.zeros(n), fixed_lower, fixed_upper, 30)

    root = rng.standard_normal((20, 20))
    spread = np.diag(np.logspace(0, 2, 20))
    convex = np.round(root @ spread @ root.T / 20, 3)
    convex = (convex + convex.T) / 2
    linear = np.round(rng.standard_normal(20), 3)
    kind = {"kind": "quadratic", "matrix": convex.tolist(), "linear": linear.tolist()}
    yield case("convex quadratic", kind, quadratic(convex, linear), np.zeros(20), np.full(20, -0.05), np.full(20, 0.04), 20)
    yield case("convex quadratic, at its bounds", kind, quadratic(convex, linear), np.full(20, 0.04), np.full(20, -0.05), np.full(20, 0.04), 20)
    yield case("convex quadratic, free", kind, quadratic(convex, linear), np.ones(20), np.full(20, -inf), np.full(20, inf), 40)
    indefinite = np.round((root + root.T) / 2, 3)
    kind = {"kind": "quadratic", "matrix": indefinite.tolist(), "linear": (1e-2 * linear).tolist()}
    yield case("indefinite quadratic", kind, quadratic(indefinite, 1e-2 * linear), np.zeros(20), np.full(20, -1.0), np.full(20, 1.0), 20)
    small = 1e-3 * (1.0 + np.abs(np.round(rng.standard_normal(20), 3)))
    kind = {"kind": "quadratic", "matrix": (-convex).tolist(), "linear": (1e-2 * linear).tolist()}
    yield case("concave quadratic in a small box", kind, quadratic(-convex, 1e-2 * linear), np.zeros(20), -small, small, 10)

    features = np.round(rng.standard_normal((40, 12)), 3)
    signs = np.sign(features @ rng.standard_normal(12) + 0.5 * rng.standard_normal(40))
    kind = {"kind": "logistic", "features": features.tolist(), "signs": signs.tolist(), "penalty": 1e-2}
    for name, reach, memory in (("free", inf, 10), ("boxed", 0.6, 10), ("boxed, two pairs", 0.6, 2)):
        bound = np.full(12, reach)
        yield case(f"logistic, {name}", kind, logistic(features, signs, 1e-2), np.zeros(12), -bound, bound, 30, memory=memory)

    one = {"kind": "quadratic", "matrix": [[2.0]], "linear": [-3.0]}
    yield case("one variable, free", one, quadratic(np.array([[2.0]]), np.array([-3.0])), [10.0], [-inf], [inf], 10)
    yield case("one variable, bounded", one, quadratic(np.array([[2.0]]), np.array([-3.0])), [0.0], [-1.0], [1.0], 10)


def network(theta, inputs, labels, sizes):
    """Mean cross-entropy of a tanh network fc1, fc2, … and its gradient; weights are out×in, before their bias."""
    layers, at = [], 0
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:]):
        weight = theta[at : at + fan_in * fan_out].reshape(fan_out, fan_in)
        at += fan_in * fan_out
        layers.append((weight, theta[at : at + fan_out]))
        at += fan_out
    activations = [inputs]
    for i, (weight, bias) in enumerate(layers):
        z = activations[-1] @ weight.T + bias
        activations.append(np.tanh(z) if i + 1 < len(layers) else z)
    logits = activations[-1]
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    loss = -np.mean((shifted - log_sum)[rows, labels])
    delta = np.exp(shifted - log_sum)
    delta[rows, labels] -= 1.0
    delta /= len(labels)
    gradients = []
    for i in reversed(range(len(layers))):
        gradients[:0] = [(delta.T @ activations[i]).ravel(), delta.sum(axis=0)]
        if i > 0:
            delta = (delta @ layers[i][0]) * (1.0 - activations[i] ** 2)
    return loss, np.concatenate(gradients)


def keskar():
    rng = np.random.default_rng(1)
    sizes, samples = [4, 5, 3], 30
    inputs = np.round(rng.standard_normal((samples, sizes[0])), 3)
    labels = rng.integers(0, sizes[-1], samples)
    count = sum(i * o + o for i, o in zip(sizes[:-1], sizes[1:]))
    function = lambda theta: network(theta, inputs, labels, sizes)
    # A trained net: near a minimum, where the measure is meant to be taken, yet not on it.
    theta = minimize(function, rng.standard_normal(count) * 0.5, jac=True, method="BFGS", options={"maxiter": 15}).x
    theta = np.round(theta, 4)
    loss, _ = function(theta)
    step = 1e-6 * rng.standard_normal(count)
    slope = (function(theta + step)[0] - function(theta - step)[0]) / 2
    assert abs(slope - function(theta)[1] @ step) < 1e-12
    columns = np.round(rng.standard_normal((count, 6)), 4)
    measurements = []
    for subspace, a in (("full", np.eye(count)), ("manifold", columns)):
        for epsilon in (1e-3, 5e-4, 1e-2, 5e-2):
            half = epsilon * (np.abs(np.linalg.pinv(a) @ theta) + 1.0)

            def negated(y):
                value, gradient = function(theta + a @ y)
                return -value, -(a.T @ gradient)

            found = run(negated, np.zeros(a.shape[1]), -half, half, 10)
            largest = -found["value"]
            measurements.append(
                {
                    "subspace": subspace,
                    "epsilon": epsilon,
                    "half_widths": half.tolist(),
                    "y": found["iterates"][-1][1],
                    "max_loss": largest,
                    "value": 100.0 * (largest - loss) / (1.0 + loss),
                    "iterations": found["iterations"],
                    "evaluations": found["evaluations"],
                    "last_gain": found["iterates"][-2][0] - found["value"] if found["iterations"] > 1 else largest - loss,
                }
            )
    return {
        "versions": VERSIONS,
        "sizes": sizes,
        "inputs": inputs.tolist(),
        "labels": labels.tolist(),
        "theta": theta.tolist(),
        "loss": loss,
        "columns": columns.T.tolist(),
        "measurements": measurements,
    }


def write(name, content):
    (HERE / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    write("lbfgsb.json", {"versions": VERSIONS, "problems": list(problems())})
    write("keskar.json", keskar())
