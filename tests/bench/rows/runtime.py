# SPDX-License-Identifier: GPL-2.0-only
"""What BPF programs take as the kernel counts it: all of a run, and not only what it times itself."""

import json
import os
import re
import shutil
import subprocess

import pyprof

SWITCH = "/proc/sys/kernel/bpf_stats_enabled"
# Debian's bpftool is not in the path of an ordinary user.
BPFTOOL = shutil.which("bpftool") or "/usr/sbin/bpftool"


def bpf_object(where, name):
    """tests/bench/NAME.bpf.c, compiled."""
    path = where / f"{name}.bpf.o"
    if not os.path.exists(path):
        source = os.path.join(pyprof.TESTS, "bench", f"{name}.bpf.c")
        command = [
            "clang", "-target", "bpf", "-O2", "-g", f"-I{pyprof.ROOT}", "-idirafter",
            f"/usr/include/{os.uname().machine}-linux-gnu", "-c", "-o", path, source,
        ]  # fmt: skip
        subprocess.run(command, check=True)
    return path


class Counted:
    """While in this context the kernel counts: tens of ns a run, so not all the time."""

    def __enter__(self):
        with open(SWITCH, encoding="ascii") as switch:
            self.before = switch.read()
        with open(SWITCH, "w", encoding="ascii") as switch:
            switch.write("1")
        return self

    def __exit__(self, *_exception):
        with open(SWITCH, "w", encoding="ascii") as switch:
            switch.write(self.before)


def programs_of(pid):
    """The ids of the BPF programs that a process holds."""
    ids = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                ids.update(int(n) for n in re.findall(r"^prog_id:\s+(\d+)$", info.read(), re.M))
        except OSError:
            pass  # closed meanwhile
    return ids


def runs_of(pid):
    """{name: (runs, ns)} so far, of each BPF program that a process holds."""
    shown = subprocess.run(
        [BPFTOOL, "-j", "prog", "show"], check=True, capture_output=True, text=True
    ).stdout
    mine = programs_of(pid)
    return {
        program.get("name", "?"): (program.get("run_cnt", 0), program.get("run_time_ns", 0))
        for program in json.loads(shown) if program["id"] in mine
    }  # fmt: skip


class Runs:
    """What a process's programs took between two looks at them."""

    def __init__(self, before, after, prefix=""):
        names = [name for name in after if name.startswith(prefix)]
        zero = (0, 0)
        self.count = sum(after[name][0] - before.get(name, zero)[0] for name in names)
        self.ns = sum(after[name][1] - before.get(name, zero)[1] for name in names)

    @property
    def us(self):
        return self.ns / max(1, self.count) / 1000
