"""Products with curvature matrices: basin beside PyTorch and the tools built on it, on the same tensors, taking turns.

    python crates/basin/benches/peers/peers.py [--only mlp,cnn] [--rounds 9] [--out FILE]

from the top of the repository, with what `requirements.txt` pins installed, prints Markdown tables. `just bench-peers`
does both; `reports/bench/README.md` says what is measured and how.
"""

import argparse
import contextlib
import copy
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from unittest import mock

# Each of the many processes would print the same warnings, about what the peers do inside.
warnings.simplefilter("ignore")
# PyTorch's threads would otherwise spin for a while after each of its turns, into the next contender's.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.autograd import grad

from contenders import (
    CONTENDERS,
    ERROR_TOLERANCE,
    KNOWN_FAULTS,
    OURS,
    PLACES,
    REFERENCES,
    SOLVERS,
    TOLERANCE,
    CrossEntropy,
    Problem,
    flat,
    statistics_of,
)
from networks import CASES

# Samples from which those far from kinks are chosen, at least; and at least twice as many as are used.
DRAWN = 512
# What each contender is given to come to rest before the next one's turn.
PAUSE = 0.05


# Our side.


class Refused(Exception):
    """Our side said what it cannot do."""


class Ours:
    """The program `main.rs`, which waits for commands."""

    def __init__(self, program):
        self.refusal = None
        self.process = subprocess.Popen([program, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        if self.refusal:
            raise self.refusal
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"our side ended at `{' '.join(map(str, words))}`")
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def load(self, tensors_file, case, module):
        """What is asked later is refused for the same reason as loading, if it is."""
        self.refusal = None
        try:
            answer = self.ask("load", tensors_file, case.spec)
            theirs = {"parameters": shapes(module.parameters()), "buffers": shapes(statistics_of(module))}
            if answer != theirs:
                raise Refused(f"its tensors are {answer}, those of PyTorch {theirs}")
        except Refused as refusal:
            self.refusal = refusal

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def shapes(tensors):
    return [list(tensor.shape) for tensor in tensors]


def build_ours():
    command = ["cargo", "bench", "-p", "basin", "--bench", "peers", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    built = [message for message in messages if message.get("target", {}).get("name") == "peers"]
    return built[-1]["executable"]


# Tensors.


def draw(case, module, seed):
    """The tensors both sides read: weights as the module has drawn them, batch norm's statistics those of the data."""
    generator = torch.Generator().manual_seed(seed)
    if case.text:
        text = torch.randint(case.classes, (case.samples, case.shape[0] + 1), generator=generator)
        return with_weights(module, text[:, :-1].contiguous(), text[:, 1:].contiguous(), generator)
    x = torch.randn(max(2 * case.samples, DRAWN), *case.shape, generator=generator)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        module.train()(x)
    x = far_from_kinks(module, x, case.samples)
    y = torch.randint(case.classes, (case.samples,), generator=generator)
    return with_weights(module, x, y, generator)


def far_from_kinks(module, x, samples):
    """Those samples whose arguments of relu are farthest from 0, and whose largest of a pool's window stands out most.

    Where rounding decides, each way of rounding takes its own side, and a single one changes the Hessian's product by
    1e-3 of its norm: errors would say nothing.
    """
    nearest = torch.full([len(x)], torch.inf, dtype=torch.float64)

    def watch(z, distances):
        nearest.copy_(torch.minimum(nearest, distances.flatten(1).amin(1) / z.square().mean().sqrt()))

    def relu(z):
        watch(z, z.abs())
        return z.clamp(min=0.0)

    def max_pool2d(z, size):
        first, second = z.unfold(2, size, size).unfold(3, size, size).flatten(-2).topk(2).values.unbind(-1)
        # A window without a positive element gives 0 whichever is taken.
        watch(z, torch.where(first > 0.0, first - second, torch.inf))
        return first

    watched = mock.patch.multiple(torch.nn.functional, relu=relu, max_pool2d=max_pool2d)
    with watched, torch.no_grad():
        copy.deepcopy(module).double().eval()(x.double())
    return x[nearest.argsort(descending=True)[:samples]].clone()


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


def timed(execute):
    gc.disable()
    start = time.perf_counter()
    result = execute()
    seconds = time.perf_counter() - start
    # Freed outside the clock, as on our side.
    del result
    gc.enable()
    return seconds


def prepare(contender, problem, ours, result_file):
    """The value of a first execution, which also warms up, and a function that executes again and gives the seconds."""
    if contender.is_ours:
        ours.ask("time", contender.work, result_file)
        return load_file(result_file)["result"], lambda: ours.ask("time", contender.work)["seconds"]
    execute = contender.work(problem)
    return execute(), lambda: timed(execute)


def take_turns(name, running, rounds):
    for round in range(rounds):
        log(f"{name}: round {round + 1} of {rounds}")
        # Another one begins each round, so that nobody always follows the same one's traces in the caches.
        first = round % len(running)
        for row, execute in running[first:] + running[:first]:
            time.sleep(PAUSE)
            row.times.append(execute())


def measure_times(name, problem, expected, ours, options, folder):
    """A row for each contender, which keep what they keep until all have taken their turns."""
    rows = [Row(contender) for contender in CONTENDERS]
    running = []
    for row in rows:
        contender = row.contender
        log(f"{name}: {contender.quantity}, {contender.name}")
        try:
            value, execute = prepare(contender, problem, ours, str(folder / "result.safetensors"))
        except Refused as reason:
            row.reason = f"not available: {brief(reason)}"
        except Exception as error:
            row.reason = f"does not run: {brief(f'{type(error).__name__}: {error}')}"
        else:
            row.error = relative_error(flat(value), expected[contender.quantity])
            running.append((row, execute))
    take_turns(name, running, options.rounds)
    return rows


def compare(name, options, ours, folder):
    """The rows of one network."""
    case, module = CASES[name], module_of(CASES[name], options.seed)
    tensors = draw(case, module, options.seed)
    tensors_file = str(folder / f"{name}.safetensors")
    save_file(tensors, tensors_file)
    exact = Problem(case.module(), tensors, torch.float64)
    expected = {quantity: flat(reference(exact)()) for quantity, reference in REFERENCES.items()}
    ours.load(tensors_file, case, module)
    rows = measure_times(name, Problem(module, tensors), expected, ours, options, folder)
    gc.collect()
    for row in rows:
        if not row.reason:
            log(f"{name}: memory of {row.contender.quantity}, {row.contender.name}")
            row.bytes = peak_memory(name, row.contender, tensors_file, options)
    return rows


# The largest eigenvalue.


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
    ours.load(tensors_file, case, module)
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
            except Refused as reason:
                solution.reason = f"not available: {brief(reason)}"
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
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    commit = command_output("git", "rev-parse", "--short=12", "HEAD")
    changed = ", with changes" if command_output("git", "status", "--porcelain", "--untracked-files=no") else ""
    packages = ["torch", "numpy", "scipy", "curvlinops-for-pytorch", "pyhessian", "hessian-eigenthings"]
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return [
        f"Host: {models[0] if models else platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} "
        f"before the run; {options.threads} threads, f32, {options.rounds} rounds. Commit {commit}{changed}.",
        f"{command_output('rustc', '--version')}, Python {platform.python_version()}, {versions}.",
    ]


def network_table(name, rows):
    case = CASES[name]
    bases = {}
    for row in rows:
        bases.setdefault(row.contender.quantity, row)
    return [
        f"### {case.title}, B {case.samples}",
        "",
        f"| | | ms | IQR | ÷ {OURS} | error (≤ {ERROR_TOLERANCE:.0e}) | peak MiB |",
        "|---|---|--:|--:|--:|--:|--:|",
        *[row.line(bases[row.contender.quantity]) for row in rows],
    ]


def ratio_table(measured):
    """What `docs/design.md` aims at, of the networks that ran on both sides."""
    rows = {
        name: {(row.contender.quantity, row.contender.name): row for row in rows} for name, rows in measured.items()
    }
    kept = ("Hv", f"{OURS}, linearization kept")
    double, retained = ("Hv", "PyTorch, double backward"), ("Hv", "PyTorch, graph retained")
    own, theirs = ("gradient", OURS), ("gradient", "PyTorch")
    bytes_of = lambda a, b: a.bytes / b.bytes
    grid, forwards = (f"{PLACES} losses", OURS), (f"{PLACES} losses", "PyTorch, one by one")
    ratios = [
        ("grid points per second ÷ PyTorch's forward passes", forwards, grid, ratio_of),
        ("own gradient ÷ PyTorch's", own, theirs, ratio_of),
        ("Hv ÷ own gradient", kept, own, ratio_of),
        ("Hv ÷ double backward", kept, double, ratio_of),
        ("Hv ÷ retained graph", kept, retained, ratio_of),
        ("peak memory of Hv ÷ double backward's", kept, double, bytes_of),
        ("peak memory of Hv ÷ retained graph's", kept, retained, bytes_of),
    ]

    def line(title, a, b, ratio):
        pairs = [(of[a], of[b]) for of in rows.values()]
        cells = ["–" if x.reason or y.reason else f"{ratio(x, y):.2f}" for x, y in pairs]
        return f"| {title} | {' | '.join(cells)} |"

    return [
        "### Ratios",
        "",
        f"| {OURS}, linearization kept | " + " | ".join(rows) + " |",
        "|---|" + "--:|" * len(rows),
        *[line(*ratio) for ratio in ratios],
    ]


def eigenvalue_table(solutions, options):
    case = CASES["mlp"]
    return [
        f"### λ_max to a residual of {TOLERANCE:.0e}: {case.title}, B {case.samples}, trained {options.steps} steps",
        "",
        f"| | λ_max | residual | products | s | ÷ {OURS} |",
        "|---|--:|--:|--:|--:|--:|",
        *[solution.line(solutions[0]) for solution in solutions],
    ]


def faults(measured, solutions):
    """Values that are not what they should be, each with what is known about it."""
    for name, rows in measured.items():
        for row in rows:
            # A comparison that NaN fails.
            if not row.reason and not row.error <= ERROR_TOLERANCE:
                quantity, contender, _ = row.contender
                fault = f"{name}: {quantity} of {contender} is off by {row.error:.1e}"
                yield fault, KNOWN_FAULTS.get((name, quantity, contender))
    claimed = [solution for solution in solutions if solution.claims and not solution.reason]
    for solution in claimed:
        # What the residual was asked to be, and f32's rounding on top.
        if not solution.residual <= 1.1 * TOLERANCE:
            yield f"largest eigenvalue: {solution.name} has a residual of {solution.residual:.1e}", None
        if not abs(solution.value / claimed[0].value - 1) <= TOLERANCE:
            others = f"{claimed[0].name} {claimed[0].value}"
            yield f"largest eigenvalue: {solution.name} found {solution.value}, {others}", None


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
    printed = []

    def tell(lines):
        print("\n".join([*lines, ""]), flush=True)
        printed.extend([*lines, ""])
        if options.out:
            options.out.write_text("\n".join(printed))

    tell(host(options))
    ours = Ours(options.program)
    measured, solutions = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name in CASES if name in options.only]:
            measured[name] = compare(name, options, ours, Path(folder))
            tell(network_table(name, measured[name]))
        if "lambda" in options.only:
            solutions = largest_eigenvalue(options, ours, Path(folder))
    ours.close()
    if measured:
        tell(ratio_table(measured))
    if solutions:
        tell(eigenvalue_table(solutions, options))
    wrong = list(faults(measured, solutions))
    for fault, known in wrong:
        tell([f"**Beyond tolerance:** {fault}{f': {known}' if known else ''}."])
    return 1 if any(known is None for _, known in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
