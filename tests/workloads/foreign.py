# SPDX-License-Identifier: GPL-2.0-only
"""ctypes: C calls back into Python through libffi's closures, which are no ordinary code."""

import ctypes

import workload

WORK = {"work": {}}
TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "sorting": {"compare": WORK},
        "nesting": {"compare_outer": {"sorting": {"compare": WORK}}},
        "calling": {},
    }}}
}

libc = ctypes.CDLL(None)
COMPARE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
)
Numbers = ctypes.c_int * 8


def work(rounds=30):
    total = 0
    for number in range(rounds):
        total += number
    return total


def compare(left, right):
    work()
    return left[0] - right[0]


def sorting():
    numbers = Numbers(5, 1, 7, 3, 8, 2, 6, 4)
    libc.qsort(numbers, len(numbers), ctypes.sizeof(ctypes.c_int), compare_callback)


def compare_outer(left, right):
    sorting()
    return left[0] - right[0]


def nesting():
    numbers = Numbers(2, 1, 3, 4, 5, 6, 7, 8)
    libc.qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), outer_callback)


def calling():
    for _ in range(10):
        libc.labs(-5)


compare_callback = COMPARE(compare)
outer_callback = COMPARE(compare_outer)


def main():
    for _ in workload.turns():
        sorting()
        nesting()
        calling()


if __name__ == "__main__":
    workload.start(TRUTH, main)
