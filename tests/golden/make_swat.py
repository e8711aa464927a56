#!/usr/bin/env python3
"""Writes what SWAT is in PyTorch, for tests/swat_golden_test.c to compare with: one JSON file a model and sparsity, in swat/.

SWAT (Raihan and Aamodt, NeurIPS 2020) as ZeroFL runs it (Qiu et al., ICLR 2022): the forward pass and the input gradient see the weights of largest
magnitude, the weight gradient the activations of largest magnitude; it is dense itself and so is the update. A threshold is the magnitude of the
ceil((1 - s) n)-th largest of a whole tensor, ties are kept; where more than s of the activations are zero all that are not are kept.

Formulas, summaries and models are make_goldens.py's. All is in double precision. Which activations are kept is decided by the order of two of them, so the
input is a stream chosen such that no layer's threshold has a neighbour closer than GAP: then rounding cannot change a mask in the first step.
"""
import fractions
import json
import math
import pathlib
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from make_goldens import Models, load, summary, unit, words

BATCH, STEPS, PERIOD = 2, 4, 3
GAP = 2e-6  # of a threshold, to the next smaller activation: several times the rounding of single precision
SPARSE = {  # the papers' layers
    "resnet18": lambda name, module: isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and name != "conv1",
    "femnist-cnn": lambda name, module: name in ("conv1", "conv2", "fc1"),
}
CASES = [("resnet18", 0.9), ("resnet18", 0.95), ("femnist-cnn", 0.9), ("femnist-cnn", 0.95), ("femnist-cnn", 0.4)]


def threshold(x, sparsity):
    keep = math.ceil((1 - fractions.Fraction(str(sparsity))) * x.numel())
    return x.detach().abs().flatten().kthvalue(x.numel() - keep + 1).values


def kept(x, level):
    """What is at least the threshold. Zeros are not kept by a threshold of zero, which so keeps all else."""
    return (x.abs() >= level) & (x != 0)


class Swat(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, bias, w_level, x_level, how):
        ws = w * kept(w, w_level)
        ctx.save_for_backward(x * kept(x, x_level), ws)
        ctx.how = how
        return F.conv2d(x, ws, bias, *how) if how else F.linear(x, ws, bias)

    @staticmethod
    def backward(ctx, dy):
        xs, ws = ctx.saved_tensors
        if ctx.how:
            dx = torch.nn.grad.conv2d_input(xs.shape, ws, dy, *ctx.how)
            dw, dbias = torch.nn.grad.conv2d_weight(xs, ws.shape, dy, *ctx.how), dy.sum((0, 2, 3))
        else:
            dx, dw, dbias = dy @ ws, dy.t() @ xs, dy.sum(0)
        return dx, dw, dbias if ctx.needs_input_grad[2] else None, None, None, None


class Sparse(nn.Module):
    """A convolution or linear layer in SWAT's place, under its own names."""

    def __init__(self, dense, sparsity):
        super().__init__()
        self.weight, self.bias = dense.weight, dense.bias
        self.how = (dense.stride, dense.padding) if isinstance(dense, nn.Conv2d) else None
        self.sparsity, self.search = sparsity, True

    def forward(self, x):
        if not self.training:  # a test sees the weights as training does, by a threshold of its own
            return Swat.apply(x, self.weight, self.bias, threshold(self.weight, self.sparsity), 0, self.how)
        if self.search:
            self.w_level, self.x_level = threshold(self.weight, self.sparsity), threshold(x, self.sparsity)
        self.x = x.detach()
        return Swat.apply(x, self.weight, self.bias, self.w_level, self.x_level, self.how)


def sparse_net(model, sparsity):
    shape, net = getattr(Models("batch"), model.replace("-", "_"))()
    for name, module in list(net.named_modules()):
        if SPARSE[model](name, module):
            parent, _, last = name.rpartition(".")
            setattr(net.get_submodule(parent), last, Sparse(module, sparsity))
    net.double()
    load(net)
    return shape, net


def sparse_layers(net):
    return {name: module for name, module in net.named_modules() if isinstance(module, Sparse)}


def batch(shape, stream, step):
    x = unit(f"{stream}/x{step}", BATCH * math.prod(shape)).reshape(BATCH, *shape)
    y = words(f"{stream}/y{step}", BATCH) % 10
    return torch.from_numpy(x).double(), torch.from_numpy(y.astype("int64"))


class TooClose(Exception):
    pass


def wide_enough(module, inputs):
    x = inputs[0].detach().abs().flatten()
    level = threshold(x, module.sparsity)
    below = x[x < level]
    if level > 0 and below.numel() and (level - below.max()) / level < GAP:
        raise TooClose


def stream_of_wide_gaps(model, sparsity):
    shape, net = sparse_net(model, sparsity)
    for module in sparse_layers(net).values():
        module.register_forward_pre_hook(wide_enough)
    for number in range(10000):
        stream = f"swat{number}"
        try:
            with torch.no_grad():
                net(batch(shape, stream, 0)[0])
            return stream
        except TooClose:
            pass
    sys.exit(f"{model}: no stream has thresholds with room around them")


def mask_summary(name, x, level):
    """How many are kept, and their projections on the signs of summary()."""
    mask = kept(x, level).double()
    return [int(mask.sum())] + [int(v) for v in summary(name, mask)[1:]]


def step(net, optimizer, shape, stream, number):
    for module in sparse_layers(net).values():
        module.search = number % PERIOD == 0
    x, y = batch(shape, stream, number)
    optimizer.zero_grad()
    logits = net(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    return logits, loss


def golden(model, sparsity):
    stream = stream_of_wide_gaps(model, sparsity)
    shape, net = sparse_net(model, sparsity)
    net.train()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    logits, loss = step(net, optimizer, shape, stream, 0)
    out = {"model": model, "sparsity": sparsity, "torch": torch.__version__, "streams": stream + "/", "input": shape, "batch": BATCH, "steps": STEPS, "period": PERIOD}
    out["logits"] = [[float(f"{v:.9g}") for v in row] for row in logits.tolist()]
    out["loss"] = float(loss.detach())
    out["gradients"] = {name: summary(name, p.grad) for name, p in net.named_parameters()}
    out["masks"] = {
        name: {
            "weights": [float(f"{float(m.w_level):.9g}")] + mask_summary(f"{name}/w", m.weight.detach(), m.w_level),
            "activations": [float(f"{float(m.x_level):.9g}")] + mask_summary(f"{name}/x", m.x, m.x_level),
        }
        for name, m in sparse_layers(net).items()
    }
    optimizer.step()
    for number in range(1, STEPS):
        loss = step(net, optimizer, shape, stream, number)[1]
        optimizer.step()
    out["last_loss"] = float(loss.detach())
    out["moved"] = {name: summary(name, p.detach() - before[name]) for name, p in net.named_parameters()}
    net.eval()
    x, y = batch(shape, stream, STEPS)
    with torch.no_grad():
        out["eval_loss"] = float(F.cross_entropy(net(x), y))
    return out


def main():
    folder = pathlib.Path(__file__).resolve().parent / "swat"
    folder.mkdir(exist_ok=True)
    for model, sparsity in [case for case in CASES if len(sys.argv) < 2 or f"{case[0]}-{case[1]:g}" in sys.argv[1:]]:
        path = folder / f"{model}-{sparsity:g}.json"
        path.write_text(json.dumps(golden(model, sparsity), separators=(",", ":")) + "\n")
        print(path.name, flush=True)


main()
