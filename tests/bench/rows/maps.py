# SPDX-License-Identifier: GPL-2.0-only
"""A perf map of 1,000,000 lines, in order and shuffled, beside other readers of the same file."""

import ctypes
import os
import re
import shutil
import subprocess
import sys

import pyprof
from rows.measure import BENCHES

MAP_LINES = 1_000_000
MAP_ORDERS = ("in order", "shuffled")
MAP_ROUNDS = 3

# A process that runs in memory of no file: perf looks into /tmp/perf-PID.map for a sample that lies
# there, and for no other. (In samples of a Python the interpreter is on top, hardly ever a
# trampoline, so that perf report would not even open its map.)
SPINNER = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\xeb\\xfe")  # jmp .
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
print("ready", hex(address), flush=True)
ctypes.CFUNCTYPE(None)(address)()
"""

# Resolves one address of the map, as the first look-up loads it all.
BCC_READER = """
import ctypes, sys
class Symbol(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("demangle_name", ctypes.c_char_p),
                ("module", ctypes.c_char_p), ("offset", ctypes.c_uint64)]
lib = ctypes.CDLL("libbcc.so.0")
lib.bcc_symcache_new.restype = ctypes.c_void_p
lib.bcc_symcache_new.argtypes = [ctypes.c_int, ctypes.c_void_p]
lib.bcc_symcache_resolve.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p]
symbol = Symbol()
cache = lib.bcc_symcache_new(int(sys.argv[1]), None)
lib.bcc_symcache_resolve(cache, int(sys.argv[2], 16), ctypes.byref(symbol))
print((symbol.name or b"").decode())
"""


def cpu_cost(command):
    """(CPU seconds, MiB resident at most, output) of a command that must succeed."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        output = child.stdout.read()
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    pyprof.expect(child.returncode == 0, f"{command[0]} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def other_readers(where, pid, address):
    """(name, command) of each reader of /tmp/perf-PID.map that is here; says which are not."""
    data = where / "perf.data"
    perf = shutil.which("perf")
    record = [perf, "record", "-q", "-e", "cpu-clock", "-F", "99", "-o", data, "-p", str(pid)]
    if not perf:
        print("    perf report: not run, there is no perf (Debian: linux-perf)")
    elif subprocess.run(
        [*record, "--", "sleep", "1"], capture_output=True, check=False
    ).returncode:  # fmt: skip
        print("    perf report: not run, perf cannot record here")
    else:
        yield "perf report", [perf, "report", "--stdio", "--sort", "sym", "-i", data]
    try:
        ctypes.CDLL("libbcc.so.0")
        yield "libbcc", [sys.executable, "-c", BCC_READER, str(pid), address]
    except OSError:
        print("    libbcc: not run, there is no libbcc.so.0 (Debian: libbpfcc)")


def own_map_figures(where):
    """What bench_perfmap says of each order: ((least ms, most ms), line of text)."""
    program = [os.path.join(BENCHES, "bench_perfmap"), str(MAP_LINES), where.path]
    text = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    figures = {}
    for order in MAP_ORDERS:
        line = re.search(rf"^{order}: .*\((\d+)-(\d+) ms\).*$", text, re.M)
        figures[order] = ([float(ms) for ms in line.groups()], line.group())
    return figures


def read_by(command, path, where, address):
    """Per order: (least ms, most ms, MiB) that a reader takes more than with an empty map."""
    took = {}
    for order in MAP_ORDERS:
        costs = []
        for _round in range(MAP_ROUNDS):
            with open(path, "w", encoding="ascii"):
                pass
            empty = cpu_cost(command)
            shutil.copyfile(where / order, path)
            with open(path, "a", encoding="ascii") as file:
                file.write(f"{address[2:]} 2 the_sampled_one\n")
            full = cpu_cost(command)
            pyprof.expect("the_sampled_one" in full[2], f"{command[0]} has not read the map")
            costs.append((1000 * (full[0] - empty[0]), full[1] - empty[1]))
        times = [ms for ms, _mib in costs]
        took[order] = (min(times), max(times), max(mib for _ms, mib in costs))
    return took


def bench_maps():
    """Others read the map of a process that runs and has samples in it."""
    with pyprof.WorkDir() as where:
        ours = own_map_figures(where)
        program = pyprof.Program([sys.executable, "-c", SPINNER], cwd=where.path)
        with program:
            address = program.wait_for("ready")[0].split()[1]
            path = f"/tmp/perf-{program.pid}.map"
            try:
                for name, command in other_readers(where, program.pid, address):
                    for order, (least, most, mib) in read_by(command, path, where, address).items():
                        own_least, own_most = ours[order][0]
                        print(
                            f"    {name}, {order}: {least / own_most:.1f} to "
                            f"{most / own_least:.1f} times as long as pyprofd "
                            f"({least:.0f}-{most:.0f} ms of CPU, "
                            f"{mib * 2**20 / MAP_LINES:.0f} B an entry resident)",
                            flush=True,
                        )
            finally:
                if os.path.exists(path):
                    os.unlink(path)
        for _times, line in ours.values():
            print(f"    pyprofd, {line}")
