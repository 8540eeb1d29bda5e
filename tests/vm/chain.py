# SPDX-License-Identifier: GPL-2.0-only
"""Spins at the bottom of a chain of functions, for as long as the machine runs."""


def inner():
    total = 0
    for number in range(5000):
        total += number
    return total


def middle():
    return inner()


def outer():
    return middle()


while True:
    outer()
