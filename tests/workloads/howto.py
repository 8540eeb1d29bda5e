# SPDX-License-Identifier: GPL-2.0-only
"""The example of CPython's perf how-to, for ever.

    howto.py [activate | deactivate]

activate: turns trampolines on by itself, before the first call of foo, bar and baz. deactivate:
turns them off (they were on) after a second or so, and says so.
"""

import sys


def foo(n):
    result = 0
    for _ in range(n):
        result += 1
    return result


def bar(n):
    foo(n)


def baz(n):
    bar(n)


if __name__ == "__main__":
    print("ready", flush=True)
    if sys.argv[1:] == ["activate"]:
        sys.activate_stack_trampoline("perf")
    if sys.argv[1:] == ["deactivate"]:
        baz(30000000)
        sys.deactivate_stack_trampoline()
        print("deactivated", flush=True)
    while True:
        baz(1000000)
