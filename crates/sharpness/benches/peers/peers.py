"""Products with curvature matrices: basin beside PyTorch and the tools built on it, on the same tensors, taking turns.

    python crates/sharpness/benches/peers/peers.py [--only mlp,cnn] [--rounds 9] [--out FILE]

from the top of the repository, with what `requirements.txt` pins installed, prints Markdown tables. `just bench-peers`
does both; `reports/bench/README.md` says what is measured and how.
"""

import argparse
import contextlib
import ctypes
import functools
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from unittest import mock

# PyTorch's threads would otherwise spin for a while after each of its turns, into the next contender's.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")

import curvlinops
import hessian_eigenthings as eigenthings
import numpy as np
import pyhessian
import scipy
import torch
from safetensors.torch import load_file, save_file
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.autograd import grad
from torch.func import functional_call, jvp, vjp

import networks

# Relative error ‖a − b‖/‖b‖ against PyTorch in f64, and residual ‖Hv − λv‖/|λ|, beyond which a figure is wrong.
TOLERANCE = 1e-3
# Products that power iteration may take to reach it.
MOST_PRODUCTS = 1000
# What each contender is given to come to rest before the next one's turn.
PAUSE = 0.05
OURS = "basin"


class Case(NamedTuple):
    title: str
    # What our side calls it: a model of the zoo, or `cnn`.
    spec: str
    module: callable
    samples: int
    # Of one sample; tokens where the samples are text.
    shape: tuple
    classes: int


CASES = {
    "mlp": Case(
        "MLP 784-512×5-10",
        "mlp:784-512-512-512-512-512-10:relu",
        lambda: networks.Mlp(784, 512, 512, 512, 512, 512, 10),
        1024,
        (784,),
        10,
    ),
    "cnn": Case("CNN 5×5 64-64, 4096-384-192-10", "cnn", networks.Cnn, 256, (3, 32, 32), 10),
    "resnet20": Case(
        "ResNet-20", "resnet20", lambda: networks.ResNet([16, 32, 64], 3, projection=False), 128, (3, 32, 32), 10
    ),
    "resnet18": Case(
        "ResNet-18, CIFAR stem",
        "resnet18:cifar",
        lambda: networks.ResNet([64, 128, 256, 512], 2, projection=True),
        64,
        (3, 32, 32),
        10,
    ),
    "gpt": Case(
        "GPT: vocabulary 65, context 64, width 128, depth 4, 4 heads",
        "gpt:vocabulary=65,context=64,width=128,depth=4,heads=4",
        lambda: networks.Gpt(65, 64, 128, 4, 4),
        32,
        (64,),
        65,
    ),
}


class CrossEntropy(nn.CrossEntropyLoss):
    """The mean over samples, and over positions where each has a class."""

    def forward(self, outputs, classes):
        return super().forward(outputs.flatten(0, -2), classes.flatten())


def flat(result):
    if isinstance(result, torch.Tensor):
        return result.detach().reshape(-1)
    return torch.cat([tensor.detach().reshape(-1) for tensor in result])


class Problem:
    """A module in evaluation mode with one batch and a vector, in PyTorch."""

    def __init__(self, module, tensors, dtype=torch.float32):
        self.model = module.to(dtype).eval()
        self.x = tensors["x"].to(dtype) if tensors["x"].is_floating_point() else tensors["x"]
        self.y = tensors["y"]
        self.criterion = CrossEntropy()
        named = dict(self.model.named_parameters())
        self.names, self.parameters = list(named), tuple(named.values())
        with torch.no_grad():
            for tensor, values in zip(self.parameters, self.split(tensors["theta"])):
                tensor.copy_(values)
            buffers = statistics_of(self.model)
            for tensor, values in zip(buffers, tensors["buffers"].split([buffer.numel() for buffer in buffers])):
                tensor.copy_(values)
        self.vector = tensors["v"].to(dtype)
        self.vectors = self.split(self.vector)

    def split(self, vector):
        parts = vector.split([parameter.numel() for parameter in self.parameters])
        return tuple(part.view_as(parameter) for part, parameter in zip(parts, self.parameters))

    def loss(self):
        return self.criterion(self.model(self.x), self.y)

    def outputs_at(self, *parameters):
        return functional_call(self.model, dict(zip(self.names, parameters)), self.x)


def statistics_of(module):
    """The running means and variances, in order."""
    return [buffer for name, buffer in module.named_buffers() if name.rpartition(".")[2].startswith("running_")]


# The contenders: each takes a problem and returns what is timed. What it does before is done once per θ.


def forward(p):
    return torch.no_grad()(lambda: p.model(p.x))


def gradient(p):
    return lambda: grad(p.loss(), p.parameters)


def double_backward(p):
    return lambda: grad(grad(p.loss(), p.parameters, create_graph=True), p.parameters, p.vectors)


def retained_graph(p):
    gradients = grad(p.loss(), p.parameters, create_graph=True)
    return lambda: grad(gradients, p.parameters, p.vectors, retain_graph=True)


def forward_over_reverse(p):
    parameters = tuple(parameter.detach() for parameter in p.parameters)
    gradients = torch.func.grad(lambda *at: p.criterion(p.outputs_at(*at), p.y), tuple(range(len(parameters))))
    return lambda: jvp(gradients, parameters, p.vectors)[1]


def curvlinops_operator(p, matrix):
    named = dict(p.model.named_parameters())
    return matrix(p.model, p.criterion, named, [(p.x, p.y)])


def curvlinops_hessian(p):
    operator = curvlinops_operator(p, curvlinops.HessianLinearOperator)
    return lambda: operator @ p.vector


def pyhessian_at(p):
    p.model.zero_grad()
    return pyhessian.hessian(p.model, p.criterion, data=(p.x, p.y), cuda=False)


def pyhessian_product(p):
    at = pyhessian_at(p)
    return lambda: pyhessian.utils.hessian_vector_product(at.gradsH, at.params, p.vectors)


def eigenthings_operator(p):
    return eigenthings.HessianOperator(p.model, [(p.x, p.y)], eigenthings.supervised_loss(p.criterion))


def eigenthings_hessian(p):
    operator = eigenthings_operator(p)
    return lambda: operator.matvec(p.vector)


def ggn_retained_graph(p):
    """Jv by differentiating the product Jᵀu for u; the graphs of the outputs, of Jᵀu and of ∇ℓ are kept."""
    outputs = p.model(p.x)
    u = torch.zeros_like(outputs, requires_grad=True)
    pulled_back = grad(outputs, p.parameters, u, create_graph=True)
    at = outputs.detach().requires_grad_()
    (slope,) = grad(p.criterion(at, p.y), at, create_graph=True)

    def product():
        (pushed_forward,) = grad(pulled_back, u, p.vectors, retain_graph=True)
        (bent,) = grad(slope, at, pushed_forward, retain_graph=True)
        return grad(outputs, p.parameters, bent, retain_graph=True)

    return product


def ggn_functional(p):
    parameters = tuple(parameter.detach() for parameter in p.parameters)
    slope = torch.func.grad(lambda outputs: p.criterion(outputs, p.y))

    def product():
        outputs, pushed_forward = jvp(p.outputs_at, parameters, p.vectors)
        _, bent = jvp(slope, (outputs,), (pushed_forward,))
        return vjp(p.outputs_at, *parameters)[1](bent)

    return product


def curvlinops_ggn(p):
    operator = curvlinops_operator(p, curvlinops.GGNLinearOperator)
    return lambda: operator @ p.vector


def eigenthings_ggn(p):
    operator = eigenthings.GGNOperator(
        p.model,
        [(p.x, p.y)],
        eigenthings.supervised_forward,
        eigenthings.supervised_loss_of_output(p.criterion),
    )
    return lambda: operator.matvec(p.vector)


class Contender(NamedTuple):
    quantity: str
    name: str
    # Of PyTorch, a function above; of ours, the name of a work.
    work: object

    @property
    def is_ours(self):
        return self.name.startswith(OURS)


# The first of a quantity is what the others are divided by.
CONTENDERS = [
    Contender("forward", OURS, "forward"),
    Contender("forward", "PyTorch", forward),
    Contender("gradient", OURS, "gradient"),
    Contender("gradient", "PyTorch", gradient),
    Contender("Hv", f"{OURS}, linearization kept", "hessian"),
    Contender("Hv", f"{OURS}, linearized anew", "hessian-anew"),
    Contender("Hv", "PyTorch, double backward", double_backward),
    Contender("Hv", "PyTorch, graph retained", retained_graph),
    Contender("Hv", "PyTorch, forward over reverse", forward_over_reverse),
    Contender("Hv", "curvlinops", curvlinops_hessian),
    Contender("Hv", "PyHessian, graph retained", pyhessian_product),
    Contender("Hv", "hessian-eigenthings", eigenthings_hessian),
    Contender("GGN v", f"{OURS}, linearization kept", "ggn"),
    Contender("GGN v", "PyTorch, graph retained", ggn_retained_graph),
    Contender("GGN v", "PyTorch, torch.func", ggn_functional),
    Contender("GGN v", "curvlinops", curvlinops_ggn),
    Contender("GGN v", "hessian-eigenthings", eigenthings_ggn),
]
REFERENCES = {"forward": forward, "gradient": gradient, "Hv": double_backward, "GGN v": ggn_functional}


# Our side.


class Refused(Exception):
    """Our side said what it cannot do."""


class Ours:
    """The program `main.rs`, which waits for commands."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"our side ended at `{' '.join(map(str, words))}`")
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def load(self, tensors_file, case, module):
        answer = self.ask("load", tensors_file, case.spec)
        theirs = [list(parameter.shape) for parameter in module.parameters()]
        if answer["parameters"] != theirs:
            raise Refused(f"its parameters have the shapes {answer['parameters']}, those of PyTorch {theirs}")
        theirs = [list(buffer.shape) for buffer in statistics_of(module)]
        if answer["buffers"] != theirs:
            raise Refused(f"its buffers have the shapes {answer['buffers']}, those of PyTorch {theirs}")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def build_ours():
    command = ["cargo", "bench", "-p", "basin-sharpness", "--bench", "peers", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    (program,) = [m["executable"] for m in messages if m.get("target", {}).get("name") == "peers" and m.get("executable")]
    return program


# Tensors.


def draw(case, module, seed):
    """The tensors of a case, which both sides read: weights as the module has drawn them, statistics those of the data."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(case.classes, (case.samples, *(case.shape if case.classes == 65 else ())), generator=generator)
    if case.classes == 65:
        x = torch.randint(case.classes, (case.samples, *case.shape), generator=generator)
    else:
        x = torch.randn(case.samples, *case.shape, generator=generator)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 1.0
        module.train()(x)
    return with_weights(module, x, y, generator)


def with_weights(module, x, y, generator):
    theta = flat(module.parameters())
    buffers = torch.cat([torch.empty(0), *statistics_of(module)])
    return {"x": x, "y": y, "theta": theta, "buffers": buffers, "v": torch.randn(len(theta), generator=generator)}


def clusters(case, module, seed, steps):
    """Samples around one random centre per class, a tenth of them with a random class, after some steps of training."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(case.classes, *case.shape, generator=generator)
    y = torch.randint(case.classes, (case.samples,), generator=generator)
    x = 0.5 * centres[y] + torch.randn(case.samples, *case.shape, generator=generator)
    wrong = torch.rand(case.samples, generator=generator) < 0.1
    y = torch.where(wrong, torch.randint(case.classes, (case.samples,), generator=generator), y)
    optimizer, criterion = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9), CrossEntropy()
    for _ in range(steps):
        optimizer.zero_grad()
        criterion(module(x), y).backward()
        optimizer.step()
    return with_weights(module, x, y, generator)


def module_of(case, seed):
    torch.manual_seed(seed)
    return case.module()


def relative_error(a, b):
    return float((a.double() - b).norm() / b.norm())


# Memory.


def memory(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the kernel tells no {field}")


def measure_memory(case, contender, tensors_file):
    """In a process of its own: the bytes by which preparing and two executions raise the peak of resident memory."""
    tensors = load_file(tensors_file)
    problem = Problem(case.module(), tensors)
    # PyTorch loads its kernels' code at their first use.
    tiny = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(1, 1))
    slopes = grad(tiny(torch.ones(1, 1, 1, 1)).square().sum(), tuple(tiny.parameters()), create_graph=True)
    grad(slopes, tuple(tiny.parameters()), slopes)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    execute = contender.work(problem)
    execute()
    execute()
    return memory("VmHWM") - before


def peak_memory(case_name, contender, tensors_file, options):
    """The bytes of one contender, in a fresh process; none where it does not run there."""
    if contender.is_ours:
        ours = Ours(options.program)
        try:
            ours.ask("load", tensors_file, CASES[case_name].spec)
            return ours.ask("memory", contender.work)["bytes"]
        finally:
            ours.close()
    arguments = ["--memory", case_name, str(CONTENDERS.index(contender)), tensors_file]
    command = [sys.executable, __file__, "--threads", str(options.threads), *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


# Times.


class Row:
    """What was measured of one contender."""

    def __init__(self, contender):
        self.contender, self.times, self.reason, self.error, self.bytes = contender, [], None, None, None

    def line(self, base):
        """Its line in the table, the times divided by those of `base` in the same rounds."""
        head = f"| {self.contender.quantity} | {self.contender.name} |"
        if self.reason:
            return f"{head} {self.reason} | | | | |"
        low, middle, high = np.quantile(self.times, [0.25, 0.5, 0.75]) * 1e3
        ratio = "" if base.reason else f"{ratio_of(self, base):.2f}"
        mebibytes = f"{self.bytes / 2**20:.0f}" if self.bytes is not None else ""
        return f"{head} {middle:.1f} | {high - low:.1f} | {ratio} | {self.error:.0e} | {mebibytes} |"


def ratio_of(a, b):
    return statistics.median(x / y for x, y in zip(a.times, b.times))


def brief(error):
    return " ".join(str(error).split())[:160].replace("|", "/")


def compare(name, options, ours, folder):
    """The rows of one network."""
    case, module = CASES[name], module_of(CASES[name], options.seed)
    tensors = draw(case, module, options.seed)
    tensors_file = str(folder / f"{name}.safetensors")
    save_file(tensors, tensors_file)
    exact = Problem(case.module(), tensors, torch.float64)
    expected = {quantity: flat(reference(exact)()) for quantity, reference in REFERENCES.items()}
    problem = Problem(module, tensors)
    rows = [Row(contender) for contender in CONTENDERS]
    refused = None
    try:
        ours.load(tensors_file, case, module)
    except Refused as reason:
        refused = f"not available: {brief(reason)}"

    works = {}
    for row in rows:
        contender = row.contender
        log(f"{name}: {contender.quantity}, {contender.name}")
        try:
            if contender.is_ours and refused:
                row.reason = refused
                continue
            # The first execution prepares, warms up and gives the value.
            if contender.is_ours:
                result_file = str(folder / "result.safetensors")
                ours.ask("time", contender.work, result_file)
                result = load_file(result_file)["result"]
                works[row] = lambda work=contender.work: ours.ask("time", work)["seconds"]
            else:
                execute = contender.work(problem)
                result = execute()
                works[row] = functools.partial(timed, execute)
            row.error = relative_error(flat(result), expected[contender.quantity])
        except Refused as reason:
            row.reason = f"not available: {brief(reason)}"
        except Exception as error:
            row.reason = f"does not run: {brief(f'{type(error).__name__}: {error}')}"
    running = list(works.items())
    for round in range(options.rounds):
        log(f"{name}: round {round + 1} of {options.rounds}")
        # Another one begins each round, so that nobody always follows the same one's traces in the caches.
        first = round % len(running)
        for row, work in running[first:] + running[:first]:
            time.sleep(PAUSE)
            row.times.append(work())
    works.clear()
    del problem, running
    gc.collect()
    for row in rows:
        if not row.reason:
            log(f"{name}: memory of {row.contender.quantity}, {row.contender.name}")
            row.bytes = peak_memory(name, row.contender, tensors_file, options)
    return rows


def timed(execute):
    gc.disable()
    start = time.perf_counter()
    result = execute()
    seconds = time.perf_counter() - start
    # Freed outside the clock, as on our side, where the answer is dropped after it.
    del result
    gc.enable()
    return seconds


# The largest eigenvalue. Each solver returns the value, a unit vector and the number of products.


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def pyhessian_power(p, seed):
    """PyHessian as it comes: at most 100 products, ended when two estimates in a row differ by less than 1e-3."""
    torch.manual_seed(seed)
    module = sys.modules["pyhessian.hessian"]
    product = Counted(module.hessian_vector_product)
    with mock.patch.object(module, "hessian_vector_product", product):
        values, vectors = pyhessian_at(p).eigenvalues()
    return values[0], flat(vectors[0]), product.calls


def pyhessian_continued(p, seed):
    """Power iteration with PyHessian's product until the residual is small."""
    torch.manual_seed(seed)
    at = pyhessian_at(p)
    v = torch.randn(len(p.vector))
    v /= v.norm()
    for products in range(1, MOST_PRODUCTS + 1):
        product = flat(pyhessian.utils.hessian_vector_product(at.gradsH, at.params, p.split(v)))
        value = float(v @ product)
        if float((product - value * v).norm()) <= TOLERANCE * abs(value):
            break
        v = product / product.norm()
    return value, v, products


def eigsh_curvlinops(p, seed):
    operator = curvlinops_operator(p, curvlinops.HessianLinearOperator)
    start = np.random.default_rng(seed).standard_normal(len(p.vector)).astype(np.float32)
    product = Counted(operator.to_scipy(dtype=np.float32).matvec)
    counted = LinearOperator(operator.shape, matvec=product, dtype=np.float32)
    values, vectors = eigsh(counted, k=1, which="LA", tol=TOLERANCE, v0=start)
    return float(values[0]), torch.from_numpy(vectors[:, 0]), product.calls


def counting_eigenthings(p):
    operator = eigenthings_operator(p)
    operator.matvec = Counted(operator.matvec)
    return operator


def eigenthings_power(p, seed):
    operator = counting_eigenthings(p)
    value, vector, *_ = eigenthings.power_iteration_one(
        operator, max_iter=MOST_PRODUCTS, tol=TOLERANCE, seed=seed
    )
    return value, vector, operator.matvec.calls


def eigenthings_lanczos(p, seed):
    """It takes as many steps as it is told: from 8 on, twice as many again until it calls the eigenvalue converged."""
    operator = counting_eigenthings(p)
    steps = 8
    while True:
        found = eigenthings.lanczos(operator, k=1, max_iter=steps, tol=TOLERANCE, which="LA", seed=seed)
        if bool(found.converged[0]) or steps > MOST_PRODUCTS:
            return float(found.eigenvalues[0]), found.eigenvectors[0], operator.matvec.calls
        steps *= 2


# Whether the solver claims the residual it was asked for.
SOLVERS = {
    "PyHessian, its own stop": (pyhessian_power, False),
    f"PyHessian's product, power iteration to the residual, at most {MOST_PRODUCTS}": (pyhessian_continued, True),
    "SciPy eigsh on curvlinops": (eigsh_curvlinops, True),
    "hessian-eigenthings, power iteration": (eigenthings_power, True),
    "hessian-eigenthings, Lanczos of 8, 16, … steps": (eigenthings_lanczos, True),
}


class Solution:
    """What one solver found."""

    def __init__(self, name, claims):
        self.name, self.claims, self.times, self.reason = name, claims, [], None
        self.value = self.residual = self.products = None

    def found(self, value, vector, products, hessian):
        """Measures the residual of an eigenpair with the exact Hessian."""
        vector = vector.double() / vector.double().norm()
        self.value, self.products = value, products
        self.residual = float((hessian(vector) - value * vector).norm()) / abs(value)

    def line(self, base):
        if self.reason:
            return f"| {self.name} | {self.reason} | | | | |"
        ratio = "" if base.reason else f"{ratio_of(self, base):.2f}"
        seconds = statistics.median(self.times)
        return f"| {self.name} | {self.value:.5g} | {self.residual:.1e} | {self.products} | {seconds:.2f} | {ratio} |"


def largest_eigenvalue(options, ours, folder):
    case = CASES["mlp"]
    module = module_of(case, options.seed)
    log("largest eigenvalue: training")
    tensors = clusters(case, module, options.seed, options.steps)
    tensors_file = str(folder / "trained.safetensors")
    save_file(tensors, tensors_file)
    exact = Problem(case.module(), tensors, torch.float64)
    gradients = grad(exact.loss(), exact.parameters, create_graph=True)
    hessian = lambda v: flat(grad(gradients, exact.parameters, exact.split(v), retain_graph=True))
    problem = Problem(module, tensors)
    us = Solution(OURS, True)
    solutions = [us] + [Solution(name, claims) for name, (_, claims) in SOLVERS.items()]
    vector_file = str(folder / "vector.safetensors")
    try:
        ours.load(tensors_file, case, module)
    except Refused as reason:
        us.reason = f"not available: {brief(reason)}"
    for round in range(min(options.rounds, 3)):
        for solution in solutions:
            if solution.reason:
                continue
            log(f"largest eigenvalue: round {round + 1}, {solution.name}")
            time.sleep(PAUSE)
            try:
                if solution is us:
                    answer = ours.ask("lanczos", TOLERANCE, options.seed, vector_file)
                    solution.times.append(answer["seconds"])
                    solution.found(answer["value"], load_file(vector_file)["result"], answer["products"], hessian)
                else:
                    start = time.perf_counter()
                    found = SOLVERS[solution.name][0](problem, options.seed)
                    solution.times.append(time.perf_counter() - start)
                    solution.found(*found, hessian)
            except Exception as error:
                solution.reason = f"does not run: {brief(f'{type(error).__name__}: {error}')}"
    return solutions


# The report.


def log(line):
    print(line, file=sys.stderr, flush=True)


def command_output(*command):
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return "unknown"


def host(options):
    models = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    commit = command_output("git", "rev-parse", "--short=12", "HEAD")
    changed = ", with changes" if command_output("git", "status", "--porcelain", "--untracked-files=no") else ""
    versions = ", ".join(
        f"{name} {version}"
        for name, version in {
            "Python": platform.python_version(),
            "torch": torch.__version__,
            "SciPy": scipy.__version__,
            **{name: installed(name) for name in ("curvlinops-for-pytorch", "pyhessian", "hessian-eigenthings")},
        }.items()
    )
    return [
        f"Host: {models[0] if models else platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} "
        f"before the run; {options.threads} threads, f32. Commit {commit}{changed}. {command_output('rustc', '--version')}.",
        f"{versions}.",
    ]


def installed(name):
    from importlib.metadata import version

    return version(name)


def network_table(name, rows):
    case = CASES[name]
    bases = {}
    for row in rows:
        bases.setdefault(row.contender.quantity, row)
    return [
        f"### {case.title}, B {case.samples}",
        "",
        f"| | | ms | IQR | ÷ {OURS} | error | peak MiB |",
        "|---|---|--:|--:|--:|--:|--:|",
        *[row.line(bases[row.contender.quantity]) for row in rows],
    ]


def ratio_table(measured):
    """What `docs/design.md` aims at, of the networks that ran on both sides."""
    rows = {name: {(row.contender.quantity, row.contender.name): row for row in rows} for name, rows in measured.items()}
    kept = ("Hv", f"{OURS}, linearization kept")
    double, retained = ("Hv", "PyTorch, double backward"), ("Hv", "PyTorch, graph retained")
    own, theirs = ("gradient", OURS), ("gradient", "PyTorch")
    bytes_of = lambda a, b: a.bytes / b.bytes
    lines = [
        ("own gradient ÷ PyTorch's", own, theirs, ratio_of),
        ("Hv ÷ own gradient", kept, own, ratio_of),
        ("Hv ÷ double backward", kept, double, ratio_of),
        ("Hv ÷ retained graph", kept, retained, ratio_of),
        ("peak memory of Hv ÷ double backward's", kept, double, bytes_of),
        ("peak memory of Hv ÷ retained graph's", kept, retained, bytes_of),
    ]

    def cell(rows, a, b, ratio):
        return "–" if rows[a].reason or rows[b].reason else f"{ratio(rows[a], rows[b]):.2f}"

    return [
        "### Ratios",
        "",
        f"| {OURS}, linearization kept | " + " | ".join(rows) + " |",
        "|---|" + "--:|" * len(rows),
        *[f"| {title} | " + " | ".join(cell(r, a, b, ratio) for r in rows.values()) + " |" for title, a, b, ratio in lines],
    ]


def eigenvalue_table(solutions, options):
    case = CASES["mlp"]
    return [
        f"### λ_max to a residual of {TOLERANCE:.0e}: {case.title}, B {case.samples}, after {options.steps} steps of training",
        "",
        f"| | λ_max | residual | products | s | ÷ {OURS} |",
        "|---|--:|--:|--:|--:|--:|",
        *[solution.line(solutions[0]) for solution in solutions],
    ]


def faults(measured, solutions):
    """Values that are not what they should be."""
    for name, rows in measured.items():
        for row in rows:
            # A comparison that NaN fails.
            if not row.reason and not row.error <= TOLERANCE:
                yield f"{name}: {row.contender.quantity} of {row.contender.name} is off by {row.error:.1e}"
    claimed = [solution for solution in solutions if solution.claims and not solution.reason]
    for solution in claimed:
        # What the residual was asked to be, and f32's rounding on top.
        if not solution.residual <= 1.1 * TOLERANCE:
            yield f"largest eigenvalue: {solution.name} has a residual of {solution.residual:.1e}"
        if not abs(solution.value / claimed[0].value - 1) <= TOLERANCE:
            yield f"largest eigenvalue: {solution.name} found {solution.value}, {claimed[0].name} {claimed[0].value}"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"some of {','.join(CASES)},lambda", default=",".join([*CASES, "lambda"]))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40, help="of training before the largest eigenvalue is sought")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file for the tables, which are printed too")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = options.only.split(",")
    unknown = set(options.only) - {*CASES, "lambda"}
    if unknown or options.rounds < 1:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "at least one round")
    return options


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    if options.memory:
        name, index, tensors_file = options.memory
        print(measure_memory(CASES[name], CONTENDERS[int(index)], tensors_file))
        return 0
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    options.program = build_ours()
    heading = host(options)
    ours = Ours(options.program)
    with tempfile.TemporaryDirectory() as folder:
        names = [name for name in CASES if name in options.only]
        measured = {name: compare(name, options, ours, Path(folder)) for name in names}
        solutions = largest_eigenvalue(options, ours, Path(folder)) if "lambda" in options.only else []
    ours.close()
    lines = heading
    for name, rows in measured.items():
        lines += ["", *network_table(name, rows)]
    if measured:
        lines += ["", *ratio_table(measured)]
    if solutions:
        lines += ["", *eigenvalue_table(solutions, options)]
    wrong = list(faults(measured, solutions))
    for fault in wrong:
        lines += ["", f"**Wrong: {fault}.**"]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
