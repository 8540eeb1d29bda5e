# SPDX-License-Identifier: GPL-2.0-only
"""Whole stacks, and CPU, beside other profilers, of a Python without trampolines."""

import resource
import shutil
import subprocess
import sys

import pyprof
from rows.measure import deep, family_cpu_seconds, measured

# One Python without trampolines, by each; a sample is whole if it is one of the program's stacks.
PEER_LEVELS = 30
PEER_SECONDS = 10
PEER_HERTZ = 99
# Those that no package registry has.
PEERS_NOT_HERE = ("OpenTelemetry's eBPF profiler", "austin", "lightswitch")


def is_whole(names):
    """Whether these are depth.py's Python frames, root first, from the first to the last."""
    chain = ["<module>", *["descend"] * PEER_LEVELS]
    return names in (chain, [*chain, "spin"])


def peer_row(name, stacks, cpu_seconds, seconds, note=""):
    """stacks: (names root first, count)."""
    samples = sum(count for _names, count in stacks)
    whole = sum(count for names, count in stacks if is_whole(names))
    print(
        f"    {name:22} {100 * whole / max(1, samples):6.2f}% of {samples} samples whole, "
        f"{100 * cpu_seconds / seconds:5.2f}% of a CPU{note}", flush=True,
    )  # fmt: skip


def by_us(daemon, program):
    before = family_cpu_seconds(daemon.process.pid)
    in_bpf = measured(daemon)[2]
    stacks = daemon.record("-p", program.pid, "-d", PEER_SECONDS, "-F", PEER_HERTZ)
    used = family_cpu_seconds(daemon.process.pid) - before
    in_bpf = (measured(daemon)[2] - in_bpf) / 1e9
    folded = [(pyprof.python_frames(s), s.count) for s in stacks]
    names = [([frame.partition(":")[0] for frame in frames], count) for frames, count in folded]
    note = f", {in_bpf / PEER_SECONDS * 100:.2f}% of one in BPF; the whole machine's, this one shown"
    peer_row("pyprofd", names, used, PEER_SECONDS, note)


def py_spy(where):
    """The program, from PATH or from its registry into a directory of its own; None: not to be had."""
    found = shutil.which("py-spy")
    if found:
        return found
    place = where / "py-spy"
    for command in (
        [sys.executable, "-m", "venv", place], [f"{place}/bin/pip", "install", "--quiet", "py-spy"],
    ):  # fmt: skip
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
    return f"{place}/bin/py-spy"


def by_py_spy(command, where, program, *options):
    out = where / "py-spy.raw"
    arguments = [
        command, "record", "--pid", str(program.pid), "--rate", str(PEER_HERTZ), "--duration",
        str(PEER_SECONDS), "--format", "raw", "--output", out, *options,
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    name = " ".join(["py-spy", *options])
    if done.returncode:
        print(f"    {name:22} failed: {done.stderr.strip().splitlines()[-1:]}")
        return
    stacks = []
    with open(out, encoding="utf-8") as lines:
        for line in lines:
            text, _space, count = line.rpartition(" ")
            names = [frame.partition(" (")[0] for frame in text.split(";")]
            stacks.append((names, int(count)))
    used = sum(getattr(after, w) - getattr(before, w) for w in ("ru_utime", "ru_stime"))
    note = "" if options else "; stops the process at each"
    peer_row(name, stacks, used, PEER_SECONDS, note)


def bench_peers():
    """One Python without trampolines, by each; a sample is whole if it is one of the program's stacks."""
    with pyprof.Daemon("--measure", frequency=1) as daemon:
        spy = py_spy(daemon.work)
        for version in ("3.13",):
            try:
                python = pyprof.python(version)
            except pyprof.Skip as reason:
                print(f"CPython {version}: skipped, {reason}")
                continue
            print(f"CPython {version}, {PEER_LEVELS} levels, {PEER_HERTZ} Hz")
            with deep(python, daemon.work, PEER_LEVELS, "calls", options=()) as program:
                by_us(daemon, program)
                if spy:
                    by_py_spy(spy, daemon.work, program)
                    by_py_spy(spy, daemon.work, program, "--nonblocking")
    not_run = [*PEERS_NOT_HERE, *([] if spy else ["py-spy"])]
    print(f"    not run, as they are not to be had here: {', '.join(not_run)}")
