# SPDX-License-Identifier: GPL-2.0-only
"""CPU of the daemon while a process adds entries to its perf map."""

import time

import pyprof
from rows.measure import family_cpu_seconds

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

ENTRIES_PER_SECOND = 10_000


def bench_growth():
    """The daemon's CPU while a process adds entries, less what it takes when none are added."""
    python = pyprof.any_python()
    with pyprof.Daemon(frequency=19) as daemon:
        path = daemon.work / "maker.py"
        with open(path, "w", encoding="ascii") as file:
            file.write(MAKER)
        time.sleep(5)  # what it does at its start is no part of this
        for rate in (0, ENTRIES_PER_SECOND):
            command = [*python, "-X", "perf", path, str(rate), "10"]
            with pyprof.Program(command, cwd=daemon.work.path) as program:
                program.wait_for("ready")
                time.sleep(1)
                before, began = family_cpu_seconds(daemon.process.pid), time.monotonic()
                time.sleep(8)
                wall = time.monotonic() - began
                used = family_cpu_seconds(daemon.process.pid) - before
                made = program.wait_for("made")[0].split()[1]
            print(f"    {rate} entries/s ({made} in 10 s): {100 * used / wall:.2f}% of a CPU")
