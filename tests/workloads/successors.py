# SPDX-License-Identifier: GPL-2.0-only
"""Programs that follow one another in one pid, by exec or by its reuse, at the same addresses.

    successors.py exec PREFIX             a Python, another one, a shell, and a Python again
    successors.py reuse PREFIX            Pythons of one pid: each ends before the next begins
    successors.py life PREFIX NUMBER      one life

To be run by `setarch -R`, without trampolines; the lives have them. A life calls itself PREFIX and
its number, and its functions own_NUMBER_..., of which it makes enough to fill more than one arena.

A life prints "settle NAME PID" and goes on with functions that it has had for a while, until there is
a file NAME.go: what it ran first in its last moments would have no name for certain.
"""

import ctypes
import os
import sys
import time

from life import named, spin

MAKE_SECONDS = 0.25  # of CPU time
KEPT = 50  # functions that it goes on with
LAST_SECONDS = 0.15
EXECS = 4
NOBODY = 65534
PERF = ("-X", "perf")

# What becomes of the map before the pid is used again, and who uses it then.
REUSES = ("as it is", "another user's", "linked", "as it is, by a program that writes none")


def call(function, times):
    for _ in range(times):
        function()


def live(number):
    with open("/proc/self/comm", "w") as comm:
        comm.write(PREFIX + str(number))
    functions = []
    end = time.thread_time() + MAKE_SECONDS
    while time.thread_time() < end:
        functions.append(named(f"own_{number}_{len(functions)}", number))
        call(functions[-1], 3)
    settle(f"{PREFIX}{number}", functions[:KEPT])
    end = time.thread_time() + LAST_SECONDS
    while time.thread_time() < end:
        for function in functions[:KEPT]:
            call(function, 1)


def settle(name, functions):
    """Runs these until the test has seen that they have their names."""
    print("settle", name, os.getpid(), flush=True)
    while not os.path.exists(f"{name}.go"):
        for function in functions:
            call(function, 1)


def tell(number):
    """Says where the map has this life's functions, for the test to see that lives coincide."""
    try:
        with open(f"/tmp/perf-{os.getpid()}.map", encoding="utf-8") as lines:
            mine = [line.split()[0] for line in lines if f" py::own_{number}_" in line]
    except OSError:
        return
    if mine:
        print("addresses", number, *mine, flush=True)


def start(number, options=PERF):
    os.execv(sys.executable, [sys.executable, *options, __file__, "life", PREFIX, str(number)])


def shell(number):
    """Something else than Python for a while, in the same pid, and then the next life."""
    link = os.path.join(os.getcwd(), PREFIX + "x")
    if not os.path.exists(link):
        os.symlink("/bin/sh", link)
    text = 'i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done; exec "$@"'
    words = [sys.executable, *PERF, __file__, "life", PREFIX, str(number)]
    os.execv(link, [link, "-c", text, "sh", *words])


class CloneArgs(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack",
                     "stack_size", "tls", "set_tid", "set_tid_size", "cgroup")
    ]  # fmt: skip


def fork_as(pid):
    """fork(), with a pid that is free."""
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = (ctypes.c_int * 1)(pid)
    args = CloneArgs(exit_signal=17, set_tid=ctypes.addressof(wanted), set_tid_size=1)
    done = libc.syscall(435, ctypes.byref(args), ctypes.sizeof(args))
    if done < 0:
        raise OSError(ctypes.get_errno(), f"clone3 with pid {pid}")
    return done


def wait(pid):
    _pid, status = os.waitpid(pid, 0)
    assert status == 0, f"a life ended with {status}"


def reuse():
    pid = os.fork()
    if not pid:
        start(0)
    wait(pid)
    path = f"/tmp/perf-{pid}.map"
    for number, what in enumerate(REUSES, 1):
        options = PERF
        if what == "another user's":
            os.chown(path, NOBODY, NOBODY)
        elif what == "linked":
            os.chown(path, 0, 0)
            os.link(path, f"{path}.{number}")
        elif what.endswith("writes none"):
            options = ()
        time.sleep(0.05)
        if not fork_as(pid):
            start(number, options)
        wait(pid)


PREFIX = sys.argv[2]
if sys.argv[1] == "life":
    life = int(sys.argv[3])
    live(life)
    tell(life)
    if PREFIX.startswith("e") and life + 1 < EXECS:
        (shell if life == 1 else start)(life + 1)
    if PREFIX.startswith("e") and life + 1 == EXECS:
        print("done", flush=True)
else:
    # Until the daemon has the unwind tables of this Python.
    settle(PREFIX, [spin])
    if sys.argv[1] == "exec":
        start(0)
    reuse()
    print("done", flush=True)
