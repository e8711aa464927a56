#!/usr/bin/python3
"""Writes what PyTorch computes for every model, for tests/golden_test.c to compare with: one JSON file a model and norm mode.

Needs Debian's python3-torch and python3-numpy; nothing else of the project does. Run it in this folder: ./make_goldens.py [MODEL ...]

Weights, inputs and labels are formulas of their names (`unit`), so that both sides make the same ones and none has to be stored. Of each
tensor the file keeps its norm and 8 projections on random signs: a wrong element, a transposition or a scale all show.
"""
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/peers"))
from models import Models

BATCH = 4
RATE = {"mobilenetv2": 0.1, "resnet12": 0.1}  # of the optimisers' rates: at 1 these fall into chaos within ten steps, PyTorch's own floats and doubles part
STEPS = 10
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.001),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.001, momentum=0.9, weight_decay=5e-4),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.001, momentum=0.9, weight_decay=5e-4, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-4, weight_decay=1e-4),
}


def name_hash(name):
    """FNV-1a, 32 bits."""
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def words(name, count):
    """count 32-bit words of the stream called name."""
    with np.errstate(over="ignore"):
        h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(name_hash(name))
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h ^= h >> np.uint32(shift)
            h *= np.uint32(factor)
        return h ^ (h >> np.uint32(16))


def unit(name, count):
    """Floats in [-1, 1), exact."""
    return (words(name, count) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)


def initial(name, shape):
    """Weights of a size, and offsets of either sign, that keep what goes into a ReLU four standard deviations from 0. At a kink the gradient is
    decided by rounding: there nothing could be compared. Norms in front of a residual sum are all positive for the same reason."""
    count = int(np.prod(shape))
    u = unit(name, count)
    if len(shape) > 1:
        return u * np.float32(0.2 * np.sqrt(6.0 / np.prod(shape[1:])))
    if name.endswith("weight"):  # of a norm, which every one-dimensional weight belongs to
        return np.float32(0.25) + np.float32(0.03125) * u
    positive = any(part in name for part in ("bn2.", "bn3.", "downsample."))
    sign = np.float32(1) if positive else np.where(u < 0, np.float32(-1), np.float32(1))
    return sign * np.float32(1.25) + np.float32(0.125) * u


def summary(name, array):
    flat = array.detach().numpy().astype(np.float64).ravel()
    rows = [float(np.linalg.norm(flat))]
    for k in range(8):
        sign = 1.0 - 2.0 * (words(f"{name}/{k}", flat.size) & np.uint32(1)).astype(np.float64)
        rows.append(float(flat @ sign))
    return [float(f"{value:.7g}") for value in rows]


def batch(shape, step):
    x = unit(f"x{step}", BATCH * int(np.prod(shape))).reshape(BATCH, *shape)
    y = words(f"y{step}", BATCH) % np.uint32(10)
    return torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))


def load(net):
    with torch.no_grad():
        for name, param in net.named_parameters():
            param.copy_(torch.from_numpy(initial(name, tuple(param.shape)).reshape(param.shape)))
        for name, buffer in net.named_buffers():
            buffer.fill_(1 if name.endswith("running_var") else 0)


def golden(model, norm):
    shape, net = getattr(Models(norm), model)()
    net.double()  # the first step: so that all rounding is the other side's
    out = {"model": model.replace("_", "-"), "norm": norm, "torch": torch.__version__, "input": shape, "batch": BATCH, "rate": RATE.get(model, 1),
           "parameters": sum(p.numel() for p in net.parameters())}
    load(net)
    net.train()
    x, y = batch(shape, 0)
    logits = net(x.double())
    loss = F.cross_entropy(logits, y)
    loss.backward()
    out["logits"] = [[float(f"{v:.9g}") for v in row] for row in logits.detach().numpy().tolist()]
    out["loss"] = float(loss.detach())
    out["gradients"] = {name: summary(name, p.grad) for name, p in net.named_parameters()}
    out["steps"] = {}
    net.float()  # ten steps of four optimisers: in double they take hours
    for kind, make in OPTIMIZERS.items():
        load(net)
        net.train()
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        optimizer = make(net.parameters())
        for group in optimizer.param_groups:
            group["lr"] *= out["rate"]
        for step in range(STEPS):
            x, y = batch(shape, step)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        moved = {name: summary(name, p - before[name]) for name, p in net.named_parameters()}
        moved.update({name: summary(name, b) for name, b in net.named_buffers() if "num_batches" not in name})
        net.eval()
        x, y = batch(shape, STEPS)
        with torch.no_grad():
            evaluated = net(x)
        out["steps"][kind] = {"last_loss": float(loss.detach()), "moved": moved, "eval_loss": float(F.cross_entropy(evaluated, y))}
    return out


def main():
    names = sys.argv[1:] or [m for m in vars(Models) if not m.startswith("_")]
    torch.manual_seed(0)
    for model in names:
        has_norm = any(isinstance(m, nn.BatchNorm2d) for m in getattr(Models("batch"), model)()[1].modules())
        for norm in ("batch", "running") if has_norm else ("batch",):
            path = f"{model.replace('_', '-')}-{norm}.json"
            with open(path, "w") as file:
                json.dump(golden(model, norm), file, separators=(",", ":"))
                file.write("\n")
            print(path, flush=True)


if __name__ == "__main__":
    main()
