# SPDX-License-Identifier: GPL-2.0-only
"""Time inside BPF per sample and per frame, beside bpf_get_stack() on the same process."""

import os
import re
import subprocess
import time

import pyprof
from rows.measure import BENCHES, Walk, deep, measured
from rows.runtime import bpf_object

# With frame pointers: the fair comparison; without: what most machines run.
WALK_VERSIONS = ("3.15", "3.13")
WALK_SECONDS = 4

# Levels of Python recursion: some 30 and 110 frames with frame pointers (four a level).
LEVELS = (5, 25)
HERTZ = (99, 999)


def by_get_stack(where, pid, hertz):
    program = os.path.join(BENCHES, "bench_get_stack")
    arguments = [bpf_object(where, "get_stack"), str(pid), str(hertz), str(WALK_SECONDS)]
    text = subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
    counts = dict(re.findall(r'"(\w+)": (\d+)', text))
    return Walk(int(counts["runs"]), int(counts["frames"]), int(counts["ns"]))


def by_pyprofd(daemon, pid, hertz):
    with daemon.connect(timeout=60) as connection:
        parameters = {"frequency": hertz, "filter": {"pid": pid}}
        # The first samples find no tables; they are not what a walk costs.
        session = connection.call("StartSession", parameters)["session"]
        time.sleep(1)
        before = measured(daemon)
        time.sleep(WALK_SECONDS)
        after = measured(daemon)
        connection.call("ReadSession", {"session": session, "stop": True})
    return Walk(*(b - a for a, b in zip(before, after)))


def bench_walk():
    with pyprof.Daemon("--measure", frequency=1) as daemon:
        for version in WALK_VERSIONS:
            try:
                python = pyprof.python(version)
            except pyprof.Skip as reason:
                print(f"CPython {version}: skipped, {reason}")
                continue
            for levels in LEVELS:
                for stable in (True, False):
                    walk_rows(daemon, version, python, levels, stable)


def walk_rows(daemon, version, python, levels, stable):
    more = () if stable else ("calls",)
    with deep(python, daemon.work, levels, *more) as program:
        for hertz in HERTZ:
            kind = "stable" if stable else "calling"
            what = f"CPython {version}, {levels} levels, {kind}, {hertz} Hz"
            ours = by_pyprofd(daemon, program.pid, hertz)
            theirs = by_get_stack(daemon.work, program.pid, hertz)
            print(f"{what}\n    pyprofd       {ours}\n    bpf_get_stack {theirs}", flush=True)
