# SPDX-License-Identifier: GPL-2.0-only
"""Time inside BPF per sample and per frame, beside bpf_get_stack() on the same process."""

import json
import os
import subprocess
import time

import pyprof
from rows.measure import BENCHES, Times, deep, map_id, measured, times_so_far
from rows.runtime import bpf_object

# (CPython, levels of recursion, how its stack changes, what of it there is a target for).
# 3.15 has frame pointers: the fair comparison, four frames a level; the others are what most
# machines run, and bpf_get_stack() stops in them after a few frames.
ROWS = (
    ("3.15", 5, "calls", "~30 frames"),
    ("3.15", 25, "stable", "~110 frames, stable"),
    ("3.15", 24, "half", "~85 frames, half of them changing"),
    ("3.13", 5, "calls", "~35 frames"),
    ("3.12", 92, "calls", "375 frames and more"),
)
HERTZ = (99, 999)
ROUNDS = 4
ROUND_SECONDS = {99: 2.5, 999: 1}


class Theirs:
    """A frame-pointer profiler's samples: of the whole program, of bpf_get_stack() alone."""

    def __init__(self, where, pid, hertz):
        program = os.path.join(BENCHES, "bench_get_stack")
        seconds = max(1, round(ROUND_SECONDS[hertz]))
        arguments = [bpf_object(where, "get_stack"), str(pid), str(hertz), str(seconds)]
        done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
        counts = json.loads(done.stdout)
        self.samples, self.frames = counts["runs"], counts["frames"]
        self.whole, self.stack = Times(counts["whole"]), Times(counts["stack"])


class Ours:
    def __init__(self, daemon, times_id, hertz):
        before, counted = times_so_far(times_id), measured(daemon)
        time.sleep(ROUND_SECONDS[hertz])
        after, counts = times_so_far(times_id), measured(daemon)
        self.samples, self.frames = counts[0] - counted[0], counts[1] - counted[1]
        self.whole = after["sample"] - before["sample"]
        self.chain = after["chain"] - before["chain"]
        self.stack = after["native"] - before["native"]


def of_all(rounds, part):
    return sum((getattr(r, part) for r in rounds[1:]), getattr(rounds[0], part))


def ratio(ours, theirs, part):
    """Of the medians, with the least and the most of a round's."""
    rounds = sorted(
        getattr(o, part).us(0.5) / getattr(t, part).us(0.5) for o, t in zip(ours, theirs)
        if getattr(o, part).count and getattr(t, part).count
    )  # fmt: skip
    if not rounds:
        return "no samples"
    medians = [of_all(side, part).us(0.5) for side in (ours, theirs)]
    return f"{medians[0] / medians[1]:.2f} ({rounds[0]:.2f}-{rounds[-1]:.2f})"


def per_sample(rounds):
    samples = sum(r.samples for r in rounds)
    return f"{sum(r.frames for r in rounds) / max(1, samples):.0f} frames, {samples} samples"


def walk_row(daemon, program, what, hertz):
    ours, theirs = [], []
    times_id = map_id(daemon, "times")
    for _round in range(ROUNDS):
        with daemon.connect(timeout=60) as connection:
            parameters = {"frequency": hertz, "filter": {"pid": program.pid}}
            session = connection.call("StartSession", parameters)["session"]
            # The first samples find no tables; they are not what a walk costs.
            time.sleep(0.2 if ours else 1)
            ours.append(Ours(daemon, times_id, hertz))
            connection.call("ReadSession", {"session": session, "stop": True})
        theirs.append(Theirs(daemon.work, program.pid, hertz))
    print(
        f"{what}, {hertz} Hz: native stack {ratio(ours, theirs, 'stack')} times bpf_get_stack, "
        f"whole program {ratio(ours, theirs, 'whole')}\n"
        f"    pyprofd       stack {of_all(ours, 'stack')}, interpreter {of_all(ours, 'chain')}, "
        f"whole {of_all(ours, 'whole')}; {per_sample(ours)}\n"
        f"    bpf_get_stack stack {of_all(theirs, 'stack')}, whole {of_all(theirs, 'whole')}; "
        f"{per_sample(theirs)}",
        flush=True,
    )


def bench_walk():
    with pyprof.Daemon("--measure", frequency=1) as daemon:
        for version, levels, how, what in ROWS:
            try:
                python = pyprof.python(version)
            except pyprof.Skip as reason:
                print(f"CPython {version}: skipped, {reason}")
                continue
            with deep(python, daemon.work, levels, how) as program:
                for hertz in HERTZ:
                    walk_row(daemon, program, f"CPython {version}, {what}", hertz)
