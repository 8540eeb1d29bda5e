# SPDX-License-Identifier: GPL-2.0-only
"""Works at the bottom of a chain of functions, for as long as the machine runs: part of it in Python,
part of it in the kernel, which makes random bytes."""

import posix


def inner():
    total = 0
    for number in range(5000):
        total += number
    return total + len(posix.urandom(100000))


def middle():
    return inner()


def outer():
    return middle()


while True:
    outer()
