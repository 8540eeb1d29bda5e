# SPDX-License-Identifier: GPL-2.0-only
"""Generators: frames that leave the stack and come back to it, from different callers."""

import workload

TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        # Their frames when they are made, before anything of them runs.
        "numbers": {}, "delegate": {}, "thrown": {}, "coroutine": {},
        "consume": {"numbers": {"work": {}}, "work": {}},
        "delegate": {"numbers": {"work": {}}, "delegate": {"numbers": {"work": {}}}},
        "coroutine": {"work": {}},
        "expression.<locals>.<genexpr>": {"work": {}},
        "expression": {"expression.<locals>.<genexpr>": {"work": {}}},
        "thrown": {"work": {}},
    }}}
}


def work(rounds=40):
    total = 0
    for number in range(rounds):
        total += number
    return total


def numbers(count):
    for _ in range(count):
        yield work()


def consume(iterator):
    for _ in iterator:
        work()


def delegate(depth, count):
    if depth:
        yield from delegate(depth - 1, count)
    yield from numbers(count)


def coroutine():
    received = 0
    while True:
        received = yield work(received)


def expression(count):
    lazy = (work() for _ in range(count))
    next(lazy)
    return lazy


def thrown():
    while True:
        try:
            yield 1
        except ValueError:
            work()


def main():
    receiver = coroutine()
    next(receiver)
    catcher = thrown()
    next(catcher)
    for _ in workload.turns():
        consume(numbers(10))
        for _ in delegate(1, 5):
            pass
        for rounds in range(30, 50):
            receiver.send(rounds)
        sum(expression(10))
        catcher.throw(ValueError())


if __name__ == "__main__":
    workload.start(TRUTH, main)
