# SPDX-License-Identifier: GPL-2.0-only
"""Recursion 200 deep: some 800 to 900 frames of native code. No level may be missing or added."""

import workload

TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "descend*200": {"bottom": {}},
        "even": {"odd": {"even": {"odd": {"bottom": {}}}}},
    }}}
}

DEPTH = 200


def bottom(rounds):
    total = 0
    for number in range(rounds):
        total ^= number
    return total


def descend(depth):
    if depth == 1:
        return bottom(20000)
    return descend(depth - 1) + 1


def even(depth):
    return odd(depth - 1)


def odd(depth):
    return even(depth - 1) if depth else bottom(2000)


def main():
    for _ in workload.turns():
        descend(DEPTH)
        even(3)


if __name__ == "__main__":
    workload.start(TRUTH, main)
