# SPDX-License-Identifier: GPL-2.0-only
"""Pythons whose functions have names in part, or not at all, each in its own way.

    covered.py KIND      prints "ready PID" of each process to look at, then works until it is killed

Kinds that fork print "first PID" before, of the process that will, and wait for a line.

It is no workload with a truth: what is asked is what pyprofd says about the process.
"""

import importlib
import multiprocessing
import os
import sys
import threading
import time

WORK = """
def work():
    total = 0
    for number in range(300):
        total += number
    return total


def outer(depth=10):
    # So deep that a second of it has more frames than the interpreter's start.
    return outer(depth - 1) if depth else work()


def burst(seconds=0.03):
    import time
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        outer()


def spin():
    # Many of these run at the same time: each leaves the CPUs to the others for a while.
    import time
    while True:
        burst()
        time.sleep(0.3)
"""
exec(WORK)  # the same functions for a subinterpreter, which gets them as text


def ready(pid=None):
    os.write(1, b"ready %d\n" % (pid or os.getpid()))


def plain():
    """As the command line says: with -X perf, or without."""
    ready()
    spin()


def late():
    """Trampolines come on while the main loop runs."""
    burst(0.3)
    on = False
    while True:
        outer()
        burst()
        time.sleep(0.3)
        if not on:
            on = True
            sys.activate_stack_trampoline("perf")
            ready()


def threads():
    """They come on while a thread runs its loop."""
    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    time.sleep(0.5)
    sys.activate_stack_trampoline("perf")
    ready()
    thread.join()


def deactivated():
    """They are turned off again."""
    sys.activate_stack_trampoline("perf")
    burst(0.5)
    sys.deactivate_stack_trampoline()
    ready()
    spin()


def in_subinterpreter(*texts):
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        break
    interpreter = interpreters.create()
    ready()
    for text in texts:
        interpreters.run_string(interpreter, text)


def subinterpreter():
    """All work is done in a subinterpreter, which has no trampolines of its own."""
    in_subinterpreter(WORK, "spin()")


def remedied():
    """The same, and they are turned on there first."""
    in_subinterpreter('import sys\nsys.activate_stack_trampoline("perf")', WORK, "spin()")


def child():
    ready()
    spin()


def first(pid):
    """Tells of the process that is to fork, and waits to be told that it is known."""
    os.write(1, b"first %d\n" % pid)
    sys.stdin.readline()


def spawn():
    child_of(multiprocessing.get_context("spawn"))


def child_of(context):
    process = context.Process(target=child, daemon=True)
    process.start()
    process.join()


def forkserver():
    from multiprocessing import forkserver

    forkserver.ensure_running()
    first(forkserver._forkserver._forkserver_pid)
    child_of(multiprocessing.get_context("forkserver"))


def fork():
    """A forked child, on frames that ran before the fork, calling what ran before it."""
    outer()
    first(os.getpid())
    if os.fork() == 0:
        child()
    os.wait()


def persist():
    """The same, where CPython copies the map (from 3.13 on, by its C API)."""
    import ctypes

    ctypes.pythonapi.PyUnstable_PerfTrampoline_SetPersistAfterFork(1)
    fork()


def growing(rate):
    """The same module, compiled and run again and again: two code objects each time."""
    text = "def made():\n    return 1\nmade()\n"
    ready()
    while True:
        exec(compile(text, "/srv/made.py", "exec"), {})
        time.sleep(1 / rate)


def asleep():
    """It has run for a moment, and sleeps."""
    burst(0.5)
    ready()
    time.sleep(600)


KINDS = {
    "plain": plain,
    "late": late,
    "threads": threads,
    "deactivated": deactivated,
    "subinterpreter": subinterpreter,
    "remedied": remedied,
    "asleep": asleep,
    "growing": lambda: growing(80),
    "growing slowly": lambda: growing(8),
    "spawn": spawn,
    "forkserver": forkserver,
    "fork": fork,
    "persist": persist,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
