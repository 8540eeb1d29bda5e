# SPDX-License-Identifier: GPL-2.0-only
"""Defines a function, calls it, and defines the next, so that its perf map grows line by line.

    diary.py NAME SECONDS [toggle]

It calls itself NAME. toggle: the trampolines are turned off and on again before every function.
"""

import os
import sys
import time
import types


def spin():
    total = 0
    for number in range(400000):
        total += number
    return total


def named(name):
    """A function of its own, and so a trampoline of its own."""
    code = spin.__code__.replace(co_name=name, co_qualname=name)
    return types.FunctionType(code, {"range": range})


def live(end, toggle):
    turn = 0
    kept = named("kept")
    while time.monotonic() < end:
        if toggle:
            sys.deactivate_stack_trampoline()
            sys.activate_stack_trampoline("perf")
        named(f"own_{turn}")()
        kept()
        turn += 1


NAME, SECONDS = sys.argv[1], float(sys.argv[2])
with open("/proc/self/comm", "w") as own:
    own.write(NAME)
print("ready", os.getpid(), flush=True)
live(time.monotonic() + SECONDS, sys.argv[3:] == ["toggle"])
print("done", flush=True)
os._exit(0)  # some versions do not survive an end after several activations
