# SPDX-License-Identifier: GPL-2.0-only
"""CPU and memory of the daemon, its children and its BPF programs."""

import os
import time

import pyprof
from rows.measure import Chain, Walk, deep, family_cpu_seconds, family_rss_bytes, measured

DAEMON_SECONDS = 20
PYTHONS = 50


def daemon_rows(daemon, programs, what):
    """What the daemon and its BPF programs take while these run."""
    cpus = len(os.sched_getaffinity(0))
    try:
        time.sleep(3)
        pid = daemon.process.pid
        before, began = family_cpu_seconds(pid), time.monotonic()
        walked, counted = measured(daemon), daemon.counters()
        time.sleep(DAEMON_SECONDS)
        wall = time.monotonic() - began
        used = family_cpu_seconds(pid) - before
        walk = Walk(*(b - a for a, b in zip(walked, measured(daemon))))
        chain = Chain(counted, daemon.counters())
        status = daemon.call("GetStatus")
        rss = family_rss_bytes(pid)
    finally:
        for program in programs:
            program.__exit__()
    in_bpf = walk.nanoseconds / 1e9
    print(f"99 Hz, {cpus} CPUs, {what}, {wall:.0f} s: {walk}")
    if chain.frames:
        print(f"    chains   {chain}")
    print(f"    daemon   {100 * used / wall / cpus:.3f}% of the machine")
    print(f"    BPF      {100 * in_bpf / wall / cpus:.3f}% of the machine")
    maps = status["bpf_bytes"]
    print(f"    memory   {rss / 2**20:.1f} MiB with children, maps {maps / 2**20:.1f} MiB")
    print(f"    loop     longest turn {status['longest_turn_usec'] / 1000:.1f} ms", flush=True)


def bench_daemon():
    python = pyprof.any_python()
    cpus = len(os.sched_getaffinity(0))
    with pyprof.Daemon("--measure", frequency=99) as daemon:
        programs = [deep(python, daemon.work, 8, "calls") for _ in range(cpus)]
        daemon_rows(daemon, programs, "all busy in Python")
    with pyprof.Daemon("--measure", frequency=99) as daemon:
        programs = [deep(python, daemon.work, 30, "calls", options=()) for _ in range(PYTHONS)]
        daemon_rows(daemon, programs, f"{PYTHONS} Pythons without trampolines, 30 frames deep")
