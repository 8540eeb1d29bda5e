# SPDX-License-Identifier: GPL-2.0-only
"""A program of many functions, all called again and again: functions.py COUNT

Each calls what they share, through a few levels, so that stacks are as different as functions are.
"""

import sys

PER_FILE = 40  # functions, as large programs have them


def work():
    total = 0
    for number in range(20):
        total += number
    return total


def inner():
    return work()


def make(count):
    made = []
    for first in range(0, count, PER_FILE):
        source = "".join(
            f"def on_event_{n}():\n    return inner()\n"
            for n in range(first, min(first + PER_FILE, count))
        )
        scope = {"inner": inner}
        exec(compile(source, f"/usr/lib/python3/dist-packages/package/module_{first}.py", "exec"), scope)
        made += [value for name, value in scope.items() if name.startswith("on_event_")]
    return made


def main():
    functions = make(int(sys.argv[1]))
    for function in functions:
        function()
    print("ready", flush=True)
    while True:
        for function in functions:
            function()


if __name__ == "__main__":
    main()
