#!/usr/bin/env python3
"""Training steps of one model in PyTorch, eager, float32: one line of JSON, and one more for every line on its input. A process a model, so that the peak of
memory is the model's own.

usage: step.py MODEL BATCH THREADS [--channels-last] [--isa avx2] [--seconds S]

A step: gradients to none, forward, cross-entropy, backward, SGD with momentum (fused, which is PyTorch's fastest on a CPU). The libraries are
told what makes them fast (README.md); what has to be known before they are loaded is set here, ahead of the import.
"""
import argparse
import ctypes
import json
import os
import resource
import statistics
import sys
import time


def keep_pages():
    """glibc's allocator gives large blocks back at every step and gets them again, page by page, all zeroed; told not to it saves up to half the time."""
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 1 << 30)
    mallopt(top_pad, 64 << 20)


def processor_flags():
    try:
        with open("/proc/cpuinfo") as file:
            return set(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return set()


def set_up(threads, isa):
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    if isa == "avx2":
        os.environ.update(ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2", OPENBLAS_CORETYPE="HASWELL")
    elif {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= processor_flags():
        os.environ["OPENBLAS_CORETYPE"] = "SKYLAKEX"  # OpenBLAS takes some of these for a Haswell, in virtual machines above all
    keep_pages()


def peak():
    """Of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    args = argparse.ArgumentParser()
    args.add_argument("model")
    args.add_argument("batch", type=int)
    args.add_argument("threads", type=int)
    args.add_argument("--channels-last", action="store_true")
    args.add_argument("--isa", choices=["avx2"])
    args.add_argument("--seconds", type=float, default=3)
    args = args.parse_args()
    set_up(args.threads, args.isa)

    import torch
    import torch.nn.functional as F

    from models import Models

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    imported = peak()
    shape, net = getattr(Models("batch"), args.model.replace("-", "_"))()
    x, y = torch.randn(args.batch, *shape), torch.randint(0, 10, (args.batch,))
    if args.channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    def measure():
        took = []
        for _ in range(2):
            step()
        start, processor = time.perf_counter(), time.process_time()
        end = start + args.seconds
        while len(took) < 3 or time.perf_counter() < end:
            begun = time.perf_counter()
            step()
            took.append(time.perf_counter() - begun)
        had = (time.process_time() - processor) / (time.perf_counter() - start) / args.threads
        return {
            "torch": torch.__version__,
            "capability": torch.backends.cpu.get_cpu_capability(),
            "model": args.model,
            "batch": args.batch,
            "threads": args.threads,
            "parameters": sum(p.numel() for p in net.parameters()),
            "steps": len(took),
            "images_s": args.batch / statistics.median(took),
            "processor_had": had,
            "memory": peak() - imported,
            "process": peak(),
        }

    print(json.dumps(measure()), flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


main()
