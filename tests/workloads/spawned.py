# SPDX-License-Identifier: GPL-2.0-only
"""multiprocessing, spawn: fresh interpreters, whose roots lie in the standard library alone."""

import multiprocessing

import workload

CHILDREN = 2
TRUTH = {
    "<module>": {"start": {"main": {}}},
    "body": {"turns": {}, "outer": {"work": {}}},
}


def work(rounds=200):
    total = 0
    for number in range(rounds):
        total += number
    return total


def outer():
    return work()


def body():
    for _ in workload.turns():
        outer()


def main():
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=body) for _ in range(CHILDREN)]
    with workload.Recorder():
        for child in children:
            child.start()
        for child in children:
            child.join()


if __name__ == "__main__":
    workload.start(TRUTH, main, workers=CHILDREN)
