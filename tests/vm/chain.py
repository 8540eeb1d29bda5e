# SPDX-License-Identifier: GPL-2.0-only
"""Works at the bottom of a chain of functions, for as long as the machine runs: part of it in Python,
part of it in the kernel, which makes random bytes."""

import posix

# Not os.urandom(): on some kernels that never enters them.
RANDOM = posix.open("/dev/urandom", posix.O_RDONLY)


def inner():
    total = 0
    for number in range(5000):
        total += number
    return total + len(posix.read(RANDOM, 100000))


def middle():
    return inner()


def outer():
    return middle()


while True:
    outer()
