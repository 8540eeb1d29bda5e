# SPDX-License-Identifier: GPL-2.0-only
"""What the daemon takes as there is more of something: frames, threads, processes, entries."""

import time

import pyprof
from rows.measure import deep, family_cpu_seconds
from rows.memory import sizes
from rows.runtime import Counted, Runs, runs_of

HERTZ = 99
SECONDS = 4
SETTLE_SECONDS = 3
LEVELS = (40, 80)
CROWDS = (500, 1000)

# A program that makes functions at a rate, and says when each was first called.
MAKER = """
import sys, time
rate, seconds = int(sys.argv[1]), float(sys.argv[2])
print("ready", flush=True)
begin = time.monotonic()
made = 0
while (now := time.monotonic() - begin) < seconds:
    while made < now * rate:
        exec(f"def f{made}(): pass\\nf{made}()", {})
        made += 2  # the module and the function
    time.sleep(0.001)
print("made", made, flush=True)
time.sleep(600)
"""

ENTRIES_PER_SECOND = (0, 5_000, 10_000)
ENTRIES_SECONDS = 6


def look(daemon, seconds):
    """(% of a CPU, us of BPF a sample, bytes a sample, MiB) while so many seconds pass."""
    pid = daemon.process.pid
    counters, runs = daemon.counters(), runs_of(pid)
    cpu, began = family_cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    cpu, wall = family_cpu_seconds(pid) - cpu, time.monotonic() - began
    taken, now = Runs(runs, runs_of(pid), "sample_"), daemon.counters()
    samples = max(1, now["bpf_sent"] - counters["bpf_sent"])
    size = (now["bpf_bytes"] - counters["bpf_bytes"]) / samples
    return 100 * cpu / wall, taken.us, size, sizes(pid)[0] / 2**20


def rows_of(what, amounts, program_of):
    """A row for each amount: twice that before."""
    for amount in amounts:
        with pyprof.Daemon(frequency=HERTZ) as daemon:
            with program_of(daemon, amount) as program:
                program.wait_for("ready", seconds=60)
                time.sleep(SETTLE_SECONDS)
                cpu, us, size, mib = look(daemon, SECONDS)
        print(
            f"    {amount:5} {what:10} BPF {us:5.1f} us a sample, {size:5.0f} bytes; daemon "
            f"{cpu:.2f}% of a CPU, {mib:.1f} MiB",
            flush=True,
        )


def crowd(python, kind):
    def program_of(daemon, count):
        script = pyprof.install_workload(daemon.work, "crowd")
        command = [*python, "-X", "perf", script, kind, str(count)]
        return pyprof.Program(command, cwd=daemon.work.path)

    return program_of


def entries(python):
    """The daemon's CPU while a process adds entries, less what it takes when none are added."""
    with pyprof.Daemon(frequency=19) as daemon:
        path = daemon.work / "maker.py"
        with open(path, "w", encoding="ascii") as file:
            file.write(MAKER)
        time.sleep(SETTLE_SECONDS)  # what it does at its start is no part of this
        for rate in ENTRIES_PER_SECOND:
            command = [*python, "-X", "perf", path, str(rate), str(ENTRIES_SECONDS + 2)]
            with pyprof.Program(command, cwd=daemon.work.path) as program:
                program.wait_for("ready")
                time.sleep(1)
                cpu, _us, _size, mib = look(daemon, ENTRIES_SECONDS)
                made = program.wait_for("made", seconds=60)[0].split()[1]
            print(
                f"    {rate:5} entries/s ({made} made): daemon {cpu:.2f}% of a CPU, {mib:.1f} MiB",
                flush=True,
            )


def bench_growth():
    python = pyprof.any_python()
    with Counted():
        rows_of("levels", LEVELS, lambda daemon, n: deep(python, daemon.work, n, "calls"))
        rows_of("threads", CROWDS, crowd(python, "threads"))
        rows_of("processes", CROWDS, crowd(python, "processes"))
        entries(python)
