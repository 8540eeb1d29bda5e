# SPDX-License-Identifier: GPL-2.0-only
"""A program that has replaced itself by exec, twice: the process is the first one's."""

import os
import sys

import workload

TRUTH = {"<module>": {"start": {"main": {"turns": {}, "outer": {"inner": {}}}}}}

LIVES = 3
ENV_LIFE = "PYPROF_WORKLOAD_LIFE"


def inner(rounds=2000):
    total = 0
    for number in range(rounds):
        total += number
    return total


def outer():
    return inner() + inner()


def main():
    for _ in workload.turns():
        outer()


if __name__ == "__main__":
    life = int(os.environ.get(ENV_LIFE, "1"))
    if life < LIVES:
        os.environ[ENV_LIFE] = str(life + 1)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    workload.start(TRUTH, main)
