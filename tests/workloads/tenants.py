# SPDX-License-Identifier: GPL-2.0-only
"""Code objects that live for a few milliseconds each, at addresses that are used again at once.

    tenants.py KIND SECONDS

KIND: loop      makes and runs them
      fork      and so do its children, which begin with what it has
      exec      and so does the same program, which follows it in its process again and again
      shared    and so does another interpreter, in turns, with the same allocator and GIL
      own       and so does another interpreter, in a thread, with its own
      threads   two threads at once

What runs is known from where it is: tenant number N is called below N % 7 + 1 frames of level(),
its file is <made N>, and its functions have N in their names. One in 32 lives for long.
"""

import os
import sys
import threading
import time

clock = time.monotonic
SHORT = (0.0005, 0.002, 0.004)
LONG = 0.25
LONG_EVERY = 32
LEVELS = 7  # no power of two, and no period of an allocator's

BODY = """
while clock() < end:
    pass
"""
FUNCTION = """
def f_{n}():
    while clock() < end:
        pass
f_{n}()
"""
CLASS = """
class C_{n}:
    while clock() < end:
        pass
"""
SOURCES = (BODY, FUNCTION, CLASS)


def template():
    while clock() < end:
        pass


def replaced(number):
    code = template.__code__.replace(co_name=f"f_{number}", co_filename=f"<made {number}>")
    if hasattr(code, "co_qualname"):
        code = code.replace(co_qualname=f"f_{number}")
    return code


def make(number):
    kind = number // LEVELS % (len(SOURCES) + 1)
    if kind == len(SOURCES):
        return replaced(number)
    return compile(SOURCES[kind].format(n=number), f"<made {number}>", "exec")


def level(depth, code, names):
    if depth:
        level(depth - 1, code, names)
    else:
        exec(code, names)


def run(first, seconds):
    number = first
    until = clock() + seconds
    while clock() < until:
        code = make(number)
        life = SHORT[number % len(SHORT)] if number % LONG_EVERY else LONG
        level(number % LEVELS, code, {"clock": clock, "end": clock() + life})
        number += 1
    return number


def fork(seconds):
    first = run(0, 0.3)
    until = clock() + seconds
    for child in range(1, 1000):
        if clock() > until:
            return
        pid = os.fork()
        if not pid:
            run(child * 10**6, 0.4)
            os._exit(0)
        first = run(first, 0.3)
        os.waitpid(pid, 0)


def follow(seconds, first):
    """One life of several."""
    run(first, 0.6)
    if seconds > 0.6:
        rest = str(seconds - 0.6)
        os.execv(sys.executable, [sys.executable, __file__, "exec", rest, str(first + 10**6)])


def interpreter(own):
    """The function that runs a string in a new interpreter."""
    try:
        import _interpreters as module
    except ImportError:
        import _xxsubinterpreters as module

        made = module.create(isolated=own)
    else:
        made = module.create("isolated" if own else "legacy")

    def there(text):
        failed = module.run_string(made, text)
        if failed:
            sys.exit(f"the other interpreter: {failed}")

    return there


def other(first, seconds):
    """What the other interpreter runs: this file's functions, and some tenants."""
    with open(__file__, encoding="utf-8") as source:
        text = source.read().rpartition("\nif __name__")[0]
    return f"__file__ = {__file__!r}\n{text}\nrun({first}, {seconds})\n"


def shared(seconds):
    first = run(0, 0.5)
    there = interpreter(False)
    for turn in range(1, int(seconds / 0.1)):
        there(other(turn * 10**6, 0.05))
        first = run(first, 0.05)


def together(seconds, second):
    thread = threading.Thread(target=second)
    thread.start()
    run(0, seconds)
    thread.join()


def main(kind, seconds, first):
    if kind == "loop":
        run(0, seconds)
    elif kind == "fork":
        fork(seconds)
    elif kind == "exec":
        follow(seconds, first)
    elif kind == "shared":
        shared(seconds)
    elif kind == "own":
        there = interpreter(True)
        together(seconds, lambda: there(other(10**6, seconds)))
    else:
        together(seconds, lambda: run(10**6, seconds))


if __name__ == "__main__":
    print("ready", flush=True)
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
