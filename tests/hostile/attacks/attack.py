# SPDX-License-Identifier: GPL-2.0-only
"""What the attacks share: trampolines whose names go where the attacker wants them to go."""

import os
import sys

HOME = sys.argv[1]  # the attacker's own directory
ARGUMENTS = sys.argv[2:]
MAP = f"/tmp/perf-{os.getpid()}.map"

TEXT = """
def leaf_{n}():
    for _ in range(200000):
        pass

def branch_{n}():
    leaf_{n}()
"""


def activate():
    """Trampolines; CPython opens its perf map now, if it can."""
    sys.activate_stack_trampoline("perf")


def ready():
    print("ready", flush=True)


def make(n):
    """A function that has not run before."""
    scope = {}
    exec(compile(TEXT.format(n=n), f"attack-{n}", "exec"), scope)
    return scope[f"branch_{n}"]


def spin(also=None):
    """Runs new functions for ever, and calls also() between them."""
    n = 0
    while True:
        n += 1
        make(n)()
        if also:
            also()


def let_go_of_map():
    """Closes the map that CPython holds, so that its path is all there is."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").endswith(os.path.basename(MAP)):
                os.close(int(fd))
        except OSError:
            pass
