# SPDX-License-Identifier: GPL-2.0-only
"""Resident memory with many Pythons of many functions each; memory of the BPF maps."""

import re

import pyprof
from rows.measure import family_cpu_seconds

FUNCTIONS = 5000
# (Pythons, MiB that the daemon may have resident.)
COUNTS = ((50, 24), (100, 32))
MAPS_MB = 12
READY_SECONDS = 120
# Two builds of CPython.
VERSIONS = ("3.13", "3.12")


def sizes(pid):
    """(RSS, PSS) of one process, in bytes: RSS counts what is shared with others in full."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as source:
        text = source.read()
    return tuple(
        int(re.search(rf"^{what}: +(\d+) kB", text, re.M).group(1)) * 1024
        for what in ("Rss", "Pss")
    )


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as source:
        return [int(child) for child in source.read().split()]


def entries_of(daemon, programs):
    """How many entries of their maps the daemon has."""
    pids = {program.pid for program in programs}
    listed = daemon.call("ListProcesses")["processes"]
    return sum(p["map_entries"] for p in listed if p["pid"] in pids and "map_entries" in p)


def memory_row(pythons, count, most):
    with pyprof.Daemon(frequency=99) as daemon:
        pid, programs = daemon.process.pid, []
        try:
            for number in range(count):
                script = pyprof.install_workload(daemon.work, "functions")
                command = [*pythons[number % len(pythons)], "-X", "perf", script, str(FUNCTIONS)]
                programs.append(pyprof.Program(command, cwd=daemon.work.path))
            for program in programs:
                program.wait_for("ready", seconds=READY_SECONDS)
            wanted = count * FUNCTIONS
            pyprof.wait_until(
                lambda: entries_of(daemon, programs) >= wanted, READY_SECONDS, "all maps to be read"
            )
            entries = entries_of(daemon, programs)
            rss, pss = sizes(pid)
            family = [sizes(child) for child in children_of(pid)]
            maps = daemon.call("GetStatus")["bpf_bytes"]
            cpu = family_cpu_seconds(pid)
        finally:
            for program in programs:
                program.__exit__()
    print(
        f"{count} Pythons of {len(pythons)} builds, {entries} entries read: daemon "
        f"{rss / 2**20:.1f} MiB resident (at most {most}), PSS {pss / 2**20:.1f}\n"
        f"    with {len(family)} children: RSS {(rss + sum(r for r, _p in family)) / 2**20:.1f}, "
        f"PSS {(pss + sum(p for _r, p in family)) / 2**20:.1f} MiB\n"
        f"    BPF maps {maps / 1e6:.1f} MB (at most {MAPS_MB}); {cpu:.1f} s of CPU so far",
        flush=True,
    )


def bench_memory():
    pythons = []
    for version in VERSIONS:
        try:
            pythons.append(pyprof.python(version))
        except pyprof.Skip as reason:
            print(f"CPython {version}: skipped, {reason}")
    for count, most in COUNTS if pythons else ():
        memory_row(pythons, count, most)
