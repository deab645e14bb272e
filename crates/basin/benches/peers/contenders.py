"""PyTorch's side of `peers.py`: what computes products with curvature matrices there, and what finds eigenvalues."""

import sys
from typing import NamedTuple
from unittest import mock

import curvlinops
import hessian_eigenthings as eigenthings
import numpy as np
import pyhessian
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.autograd import grad
from torch.func import functional_call, jvp, vjp

OURS = "basin"
# Relative error ‖a − b‖/‖b‖ against PyTorch in f64 beyond which a value is wrong; f32 comes to 1e-6.
ERROR_TOLERANCE = 1e-4
# Residual ‖Hv − λv‖/|λ| that is asked of an eigenvalue.
TOLERANCE = 1e-3
# Products that power iteration may take to reach it.
MOST_PRODUCTS = 1000


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


def loss(p):
    return torch.no_grad()(p.loss)


# Points of a line, from θ − 2⁻¹² v to θ + 2⁻¹² v.
PLACES = 8


def places():
    return [(2 * i / (PLACES - 1) - 1) / 4096 for i in range(PLACES)]


def losses(p):
    """One forward pass after the other, each with its own parameters."""

    def at(t):
        moved = [parameter + t * vector for parameter, vector in zip(p.parameters, p.vectors)]
        return p.criterion(p.outputs_at(*moved), p.y)

    return torch.no_grad()(lambda: torch.stack([at(t) for t in places()]))


def losses_batched(p):
    """All in one forward pass, with a further axis for the points."""
    ts = torch.tensor(places(), dtype=p.vector.dtype)

    def at(t):
        moved = [parameter + t * vector for parameter, vector in zip(p.parameters, p.vectors)]
        return p.criterion(p.outputs_at(*moved), p.y)

    return torch.no_grad()(lambda: torch.func.vmap(at)(ts))


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
    return matrix(p.model, p.criterion, list(p.parameters), [(p.x, p.y)])


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
    Contender("loss", OURS, "loss"),
    Contender("loss", "PyTorch", loss),
    Contender(f"{PLACES} losses", OURS, "losses"),
    Contender(f"{PLACES} losses", "PyTorch, one by one", losses),
    Contender(f"{PLACES} losses", "PyTorch, batched by vmap", losses_batched),
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
REFERENCES = {
    "loss": loss,
    f"{PLACES} losses": losses,
    "gradient": gradient,
    "Hv": double_backward,
    "GGN v": ggn_functional,
}


# What is known to be wrong, and not in basin: it is printed, and fails nothing.
LAYER_NORM = "it takes `jvp` of `jacrev`, which PyTorch 2.15 gets wrong for the weights of layer norm"
KNOWN_FAULTS = {("gpt", "Hv", "curvlinops"): LAYER_NORM}


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
    value, vector, *_ = eigenthings.power_iteration_one(operator, max_iter=MOST_PRODUCTS, tol=TOLERANCE, seed=seed)
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
