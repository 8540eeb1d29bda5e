# SPDX-License-Identifier: GPL-2.0-only
"""Whether a fixed Python job is slower while it is profiled: many short pairs of with and without."""

import os
import random
import statistics
import time

import pyprof

HERTZ = 99
PAIRS = 95
# Some 0.3 s: short, so that what the machine's neighbours do is the same on both sides of a pair.
ROUNDS = 150
# Of a normal distribution: 95% lie within so many deviations.
INTERVAL = 1.96
WANTED_PERCENT = 0.5

JOB = """
import sys, time
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def job(rounds):
    for _ in range(rounds):
        fib(14)
        sorted(str(n) for n in range(2000))
print("ready", flush=True)
for line in sys.stdin:
    cpu, wall = time.process_time_ns(), time.monotonic_ns()
    job(int(line))
    print(time.process_time_ns() - cpu, time.monotonic_ns() - wall, flush=True)
"""


class Job(pyprof.Program):
    """A Python that does the job when told to."""

    def __init__(self, python):
        read, self.tell = os.pipe()
        super().__init__([*python, "-X", "perf", "-c", JOB], stdin=read)
        os.close(read)
        self.done = 0
        self.wait_for("ready")

    def begin(self):
        os.write(self.tell, b"%d\n" % ROUNDS)

    def end(self):
        """(CPU ns, wall ns) of the job under way."""
        self.done += 1
        pyprof.wait_until(lambda: len(self.lines) > self.done, 60, "the job's end")
        return tuple(int(word) for word in self.lines[self.done].split())


def do(jobs):
    """(CPU, wall) of all jobs together, which fill the machine's CPUs."""
    for job in jobs:
        job.begin()
    results = [job.end() for job in jobs]
    return tuple(sum(column) for column in zip(*results))


def profiled(daemon, jobs):
    with daemon.connect(timeout=60) as connection:
        session = connection.call("StartSession", {"frequency": HERTZ})["session"]
        took = do(jobs)
        connection.call("ReadSession", {"session": session, "stop": True})
    return took


def bench_slowdown():
    python = pyprof.any_python()
    cpus = len(os.sched_getaffinity(0))
    ratios = []
    # Between its sessions the daemon samples once a second, with which both sides are.
    with pyprof.Daemon(frequency=1) as daemon:
        jobs = [Job(python) for _ in range(cpus)]
        try:
            for _ in range(3):
                profiled(daemon, jobs)
            began = time.monotonic()
            for _pair in range(PAIRS):
                if random.random() < 0.5:
                    on, off = profiled(daemon, jobs), do(jobs)
                else:
                    off, on = do(jobs), profiled(daemon, jobs)
                ratios.append(tuple(100 * (a / b - 1) for a, b in zip(on, off)))
            seconds = time.monotonic() - began
        finally:
            for job in jobs:
                job.__exit__()
    print(f"{PAIRS} pairs in {seconds:.0f} s, {cpus} jobs at a time, load {os.getloadavg()[0]:.0f}")
    for what, values in zip(("CPU time", "wall time"), zip(*ratios)):
        half = INTERVAL * statistics.stdev(values) / len(values) ** 0.5
        mean = statistics.mean(values)
        print(
            f"    slowdown at {HERTZ} Hz, {what}: {mean:+.2f}%, 95% interval {mean - half:+.2f} to "
            f"{mean + half:+.2f}%, median {statistics.median(values):+.2f}% "
            f"(within ±{WANTED_PERCENT}%, with 0)",
            flush=True,
        )
