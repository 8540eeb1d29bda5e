# SPDX-License-Identifier: GPL-2.0-only
"""A stack of a stated depth that stays as it is: depth.py LEVELS [calls]

With "calls" its innermost function is called again and again, so the stack's end changes.
"""

import sys


def spin():
    total = 0
    for number in range(1000):
        total += number
    return total


def descend(levels, calls):
    if levels > 1:
        return descend(levels - 1, calls)
    print("ready", flush=True)
    total = 0
    while True:
        if calls:
            spin()
        else:
            total += 1


if __name__ == "__main__":
    descend(int(sys.argv[1]), sys.argv[2:] == ["calls"])
