# SPDX-License-Identifier: GPL-2.0-only
"""What the rows share: programs to be measured, and what is read of the daemon."""

import json
import os
import re
import shutil
import subprocess

import pyprof

BENCHES = os.path.join(pyprof.BUILD, "tests", "bench")


def deep(python, where, levels, *more, options=("-X", "perf")):
    script = pyprof.install_workload(where, "depth")
    command = [*python, *options, script, str(levels), *more]
    program = pyprof.Program(command, cwd=where.path)
    program.wait_for("ready")
    return program


class Chain:
    """Samples, what walking their interpreter's frames took, and the rest."""

    NAMES = ("bpf_sent", "bpf_python_frames", "bpf_chain_ns", "bpf_walk_ns")

    def __init__(self, before, after):
        self.samples, self.frames, self.nanoseconds, self.whole = (
            after[name] - before[name] for name in self.NAMES
        )

    def __str__(self):
        if not self.samples:
            return "no samples"
        return (
            f"adds {self.nanoseconds / self.samples / 1000:5.1f} us/sample "
            f"{self.nanoseconds / max(1, self.frames):5.0f} ns/frame to a sample of "
            f"{self.whole / self.samples / 1000:5.1f} us "
            f"({self.frames / self.samples:5.1f} Python frames, {self.samples} samples)"
        )


# As bpf/pp_types.h has them.
TIME_BUCKET_NS = 64
TIME_BUCKETS = 2048
TIMES = ("sample", "chain", "native")


class Times:
    """How often something took how long: buckets of TIME_BUCKET_NS."""

    def __init__(self, buckets):
        self.buckets = buckets

    @property
    def count(self):
        return sum(self.buckets)

    def __add__(self, other):
        return Times([a + b for a, b in zip(self.buckets, other.buckets)])

    def __sub__(self, other):
        return Times([a - b for a, b in zip(self.buckets, other.buckets)])

    def us(self, share):
        """What that share of them took at the most; 0.5: the median."""
        left = self.count * share
        for bucket, count in enumerate(self.buckets):
            left -= count
            if left <= 0 and count:
                return (bucket + 0.5) * TIME_BUCKET_NS / 1000
        return 0.0

    def __str__(self):
        return f"{self.us(0.5):5.1f} us (p99 {self.us(0.99):.0f})"


def bpftool(*arguments):
    tool = shutil.which("bpftool") or "/usr/sbin/bpftool"
    command = [tool, "-j", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def map_id(daemon, name):
    """The id of a map that the daemon holds; others may hold maps of the same name."""
    directory = f"/proc/{daemon.process.pid}/fdinfo"
    for fd in os.listdir(directory):
        with open(f"{directory}/{fd}", encoding="ascii") as info:
            match = re.search(r"^map_id:\s+(\d+)$", info.read(), re.M)
        if match and bpftool("map", "show", "id", match.group(1)).get("name") == name:
            return int(match.group(1))
    raise pyprof.Failed(f"the daemon has no map {name}")


def times_so_far(times_id):
    """What a daemon that measures has timed, of all CPUs: {name: Times}."""
    sums = {name: Times([0] * TIME_BUCKETS) for name in TIMES}
    for entry in bpftool("map", "dump", "id", times_id):
        data = bytes(int(byte, 16) for byte in entry["value"])
        words = memoryview(data).cast("I").tolist()
        for i, name in enumerate(TIMES):
            sums[name] += Times(words[i * TIME_BUCKETS : (i + 1) * TIME_BUCKETS])
    return sums


def measured(daemon):
    """(sent, frames, ns) so far, as a daemon that measures counts them."""
    status = daemon.call("GetStatus")
    counters = {counter["name"]: counter["value"] for counter in status["counters"]}
    return tuple(counters[name] for name in ("bpf_sent", "bpf_frames", "bpf_walk_ns"))


def family_cpu_seconds(pid):
    """CPU time of a process and its children: those that run, and those that have ended."""
    total = pyprof.cpu_seconds(pid)
    with open(f"/proc/{pid}/stat", encoding="ascii") as source:
        ended = source.read().rpartition(")")[2].split()[13:15]  # in user mode, in the kernel
    total += sum(int(ticks) for ticks in ended) / os.sysconf("SC_CLK_TCK")
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as source:
        for child in source.read().split():
            total += family_cpu_seconds(int(child))
    return total


def family_rss_bytes(pid):
    """Memory of a process and its children, what they share counted once (PSS)."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as source:
        total += int(re.search(r"^Pss: +(\d+) kB", source.read(), re.M).group(1)) * 1024
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as source:
        for child in source.read().split():
            total += family_rss_bytes(int(child))
    return total
