# SPDX-License-Identifier: GPL-2.0-only
"""CPU of the daemon, its children and its BPF programs, with every CPU in Python."""

import os
import subprocess
import time

import pyprof
from rows.measure import BENCHES, deep, family_cpu_seconds
from rows.runtime import Counted, Runs, bpf_object, runs_of

SECONDS = 10
SETTLE_SECONDS = 4
# Parts of a measurement, for its spread.
PARTS = 5
MANY = 50
TARGETS = {"cpu": 0.3, 99: 0.3, 19: 0.08}


class Part:
    """What was used while so many seconds passed."""

    def __init__(self, daemon, seconds):
        # What asking costs is no part of it.
        before, runs = daemon.counters(), runs_of(daemon.process.pid)
        cpu, began = family_cpu_seconds(daemon.process.pid), time.monotonic()
        time.sleep(seconds)
        self.cpu = family_cpu_seconds(daemon.process.pid) - cpu
        self.wall = time.monotonic() - began
        after, runs_then = daemon.counters(), runs_of(daemon.process.pid)
        self.samples, self.bytes = (after[n] - before[n] for n in ("bpf_sent", "bpf_bytes"))
        self.runs = Runs(runs, runs_then, "sample_")
        self.all_runs = Runs(runs, runs_then)


def spread(values, form):
    return f"{form.format(sum(values) / len(values))} ({form.format(min(values))}-{form.format(max(values))})"


def empty_program_us(where, hertz):
    """What the kernel takes for a run of a program that does nothing, on the same machine."""
    path = bpf_object(where, "empty")
    program = os.path.join(BENCHES, "bench_get_stack")
    with subprocess.Popen(
        [program, path, "0", str(hertz), "4"], stdout=subprocess.DEVNULL
    ) as running:
        time.sleep(1)
        before = runs_of(running.pid)
        time.sleep(2)
        runs = Runs(before, runs_of(running.pid))
    return runs.us


def processes_made():
    """By anybody, since the machine started: each is work for the daemon, too."""
    with open("/proc/stat", encoding="ascii") as source:
        return int(next(line for line in source if line.startswith("processes ")).split()[1])


def measure(daemon, programs, what, hertz):
    """Prints the rows of one daemon while these programs run."""
    cpus = len(os.sched_getaffinity(0))
    try:
        time.sleep(SETTLE_SECONDS)
        empty = empty_program_us(daemon.work, hertz) if hertz == 99 else None
        made = processes_made()
        parts = [Part(daemon, SECONDS / PARTS) for _ in range(PARTS)]
        # Those that the parts themselves made are a bpftool each.
        made = (processes_made() - made - PARTS * 2) / sum(part.wall for part in parts)
        turn = daemon.call("GetStatus")["longest_turn_usec"]
    finally:
        for program in programs:
            program.__exit__()
    cpu = [100 * part.cpu / part.wall for part in parts]
    share = [
        100 * (part.cpu + part.all_runs.ns / 1e9) / part.wall / cpus for part in parts
    ]  # fmt: skip
    run = [part.runs.us for part in parts]
    size = sum(part.bytes for part in parts) / max(1, sum(part.samples for part in parts))
    print(
        f"{what}, {hertz} Hz, {cpus} CPUs busy, load {os.getloadavg()[0]:.0f}, "
        f"{made:.0f} processes made a second"
    )
    print(f"    daemon          {spread(cpu, '{:.2f}')}% of one core (at most {TARGETS['cpu']}%)")
    print(
        f"    daemon and BPF  {spread(share, '{:.3f}')}% of the machine "
        f"(at most {TARGETS[hertz]}%)"
    )
    beside = f"; an empty program {empty:.1f} us" if empty else ""
    print(f"    BPF run time    {spread(run, '{:.1f}')} us a sample{beside} (at most 12 us)")
    print(f"    ring            {size:.0f} bytes a sample")
    print(f"    loop            longest turn {turn / 1000:.1f} ms", flush=True)


def bench_daemon():
    python = pyprof.any_python()
    cpus = len(os.sched_getaffinity(0))
    with Counted():
        for hertz in (99, 19):
            with pyprof.Daemon(frequency=hertz) as daemon:
                programs = [deep(python, daemon.work, 8, "calls") for _ in range(cpus)]
                measure(daemon, programs, f"{cpus} Pythons, their stacks' ends changing", hertz)
        with pyprof.Daemon(frequency=99) as daemon:
            programs = [deep(python, daemon.work, 8) for _ in range(cpus)]
            measure(daemon, programs, f"{cpus} Pythons, stable stacks", 99)
        with pyprof.Daemon(frequency=99) as daemon:
            programs = [deep(python, daemon.work, 30, "calls", options=()) for _ in range(MANY)]
            measure(daemon, programs, f"{MANY} Pythons without trampolines, 30 levels", 99)
