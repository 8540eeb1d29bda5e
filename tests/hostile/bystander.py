# SPDX-License-Identifier: GPL-2.0-only
"""Whose stacks are known: trunk calls branch_N, that calls leaf_N; both are made anew all the time."""

import time

TEXT = """
def leaf_{n}(end):
    while clock() < end:
        for _ in range(2000):
            pass

def branch_{n}(end):
    leaf_{n}(end)
"""


def trunk():
    n = 0
    while True:
        n += 1
        scope = {"clock": time.thread_time}
        exec(compile(TEXT.format(n=n), f"made-{n}", "exec"), scope)
        scope[f"branch_{n}"](time.thread_time() + 0.1)


print("ready", flush=True)
trunk()
