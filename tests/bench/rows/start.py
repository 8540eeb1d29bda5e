# SPDX-License-Identifier: GPL-2.0-only
"""From the daemon's start to its first named Python stack, on a machine with many Pythons."""

import time

import pyprof
from rows.measure import deep, family_cpu_seconds

PYTHONS = 50
ROUNDS = 3
STEADY_SECONDS = 5
WAIT_SECONDS = 30
NAMED = "the first Python function has its name"
TARGET_MS, TARGET_CPU = 300, 0.5


def start(state):
    """(ms to the first answer, ms to the first name, CPU by then, CPU in all) of one start."""
    daemon = pyprof.Daemon("--debug", frequency=19)
    daemon.command[daemon.command.index("--state-dir") + 1] = state
    began = time.monotonic()
    with daemon:
        answered = time.monotonic()
        while NAMED not in daemon.stderr():
            if time.monotonic() > began + WAIT_SECONDS:
                raise pyprof.Failed(f"no Python function has a name after {WAIT_SECONDS} s")
            time.sleep(0.002)
        named, cpu = time.monotonic(), family_cpu_seconds(daemon.process.pid)
        time.sleep(STEADY_SECONDS)
        in_all = family_cpu_seconds(daemon.process.pid)
    return 1000 * (answered - began), 1000 * (named - began), cpu, in_all


def bench_start():
    python = pyprof.any_python()
    with pyprof.WorkDir() as where:
        programs = [deep(python, where, 30, "calls") for _ in range(PYTHONS)]
        try:
            rows = [start(where / "state") for _ in range(ROUNDS)]
        finally:
            for program in programs:
                program.__exit__()
    for what, row in zip(("without tables on disk", "with them", "again"), rows):
        print(
            f"{PYTHONS} busy Pythons, {what}: first named stack after {row[1]:.0f} ms (at most "
            f"{TARGET_MS}), first answer after {row[0]:.0f} ms; CPU {row[2]:.2f} s by then, "
            f"{row[3]:.2f} s after {STEADY_SECONDS} s (at most {TARGET_CPU})",
            flush=True,
        )
