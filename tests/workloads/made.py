# SPDX-License-Identifier: GPL-2.0-only
"""Code made at run time without end: each turn's functions are new, and so are their trampolines.

A name that is wrong by one entry shows: the number is in both functions' names and in the file's.
"""

import workload

TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "make": {},
        "<module>": {},
        "outer_#": {"inner_#": {"inner_#.<locals>.<lambda>": {}}},
    }}}
}

SOURCE = """
def inner_{n}():
    total = 0
    for number in range(3000):
        total += number
    twice = lambda value: sum(range(500)) + value
    return twice(total)

def outer_{n}():
    return inner_{n}() + 1
"""


def make(number):
    return compile(SOURCE.format(n=number), f"<made {number}>", "exec")


def main():
    for turn in workload.turns():
        names = {}
        exec(make(turn), names)
        names[f"outer_{turn}"]()


if __name__ == "__main__":
    workload.start(TRUTH, main)
