# SPDX-License-Identifier: GPL-2.0-only
"""Spends 60, 30 and 10 % of its CPU time in three functions; they measure themselves.

    shares.py [--seconds S]    prints "ready PID", at the end "spent A B C" (seconds of CPU time)

A slice's length is drawn at random, so that no sampling rate can be in step with the rounds.
"""

import random
import time

import workload

TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "sixty": {},
        "thirty": {},
        "ten": {},
    }}}
}


def sixty(end):
    while time.thread_time() < end:
        pass


def thirty(end):
    while time.thread_time() < end:
        sum(range(50))


def ten(end):
    while time.thread_time() < end:
        [n for n in range(20)]


SLICES = ((sixty, 0.006), (thirty, 0.003), (ten, 0.001))


def main():
    spent = [0.0, 0.0, 0.0]
    chance = random.Random(1)
    for _ in workload.turns():
        for number, (function, slice_seconds) in enumerate(SLICES):
            begin = time.thread_time()
            function(begin + slice_seconds * chance.uniform(0.5, 1.5))
            spent[number] += time.thread_time() - begin
    print("spent", *(f"{seconds:.6f}" for seconds in spent), flush=True)


if __name__ == "__main__":
    workload.start(TRUTH, main)
