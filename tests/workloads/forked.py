# SPDX-License-Identifier: GPL-2.0-only
"""multiprocessing, fork: the children stand on frames that only their parent's perf map names."""

import multiprocessing

import workload

CHILDREN = 2
TRUTH = {
    "<module>": {"start": {"main": {
        "body": {"turns": {}, "before": {"work": {}}, "body.<locals>.after": {"work": {}}},
    }}}
}


def work(rounds=200):
    total = 0
    for number in range(rounds):
        total += number
    return total


def before():
    """Called in the parent too, before the fork: its trampoline is the parent's."""
    return work()


def body():
    def after():
        return work()

    for _ in workload.turns():
        before()
        after()


def main():
    before()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=body) for _ in range(CHILDREN)]
    with workload.Recorder():
        for child in children:
            child.start()
        for child in children:
            child.join()


if __name__ == "__main__":
    workload.start(TRUTH, main, workers=CHILDREN)
