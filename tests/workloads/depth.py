# SPDX-License-Identifier: GPL-2.0-only
"""A stack of a stated depth that stays as it is: depth.py LEVELS [calls | half]

With "calls" its innermost function is called again and again, so the stack's end changes. With
"half" its inner half is: some of those levels are there at any moment.
"""

import sys


def spin():
    total = 0
    for number in range(1000):
        total += number
    return total


def climb(levels):
    if levels > 1:
        spin()
        climb(levels - 1)
    else:
        spin()


def descend(levels, how):
    if levels > 1:
        return descend(levels - 1, how)
    print("ready", flush=True)
    total = 0
    while True:
        if how == "half":
            climb(INNER)
        elif how == "calls":
            spin()
        else:
            total += 1


if __name__ == "__main__":
    LEVELS, HOW = int(sys.argv[1]), "".join(sys.argv[2:])
    INNER = LEVELS // 2
    descend(LEVELS - INNER if HOW == "half" else LEVELS, HOW)
