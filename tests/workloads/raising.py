# SPDX-License-Identifier: GPL-2.0-only
"""Exceptions: frames left by unwinding, handlers, finally, with, and tracebacks being made."""

import traceback

import workload

WORK = {"work": {}}
TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "catching": {"through*20": {"failing": WORK}, "work": {}},
        "finishing": {"cleaning": {"failing": WORK, "work": {}}},
        "managing": {"Guard.__enter__": WORK, "Guard.__exit__": WORK, "failing": WORK},
        "chaining": {"converting": {"failing": WORK, "work": {}}},
        "grouping": {"failing": WORK, "work": {}},
        "formatting": {"failing": WORK},
    }}}
}


def work(rounds=30):
    total = 0
    for number in range(rounds):
        total += number
    return total


def failing():
    work()
    raise ValueError("on purpose")


def through(depth):
    if depth == 1:
        failing()
    through(depth - 1)


def catching():
    try:
        through(20)
    except ValueError:
        work()


def cleaning():
    try:
        failing()
    finally:
        work()


def finishing():
    try:
        cleaning()
    except ValueError:
        pass


class Guard:
    def __enter__(self):
        work()
        return self

    def __exit__(self, *_exception):
        work()
        return True


def managing():
    with Guard():
        failing()


def converting():
    try:
        failing()
    except ValueError as error:
        work()
        raise KeyError("converted") from error


def chaining():
    try:
        converting()
    except KeyError:
        pass


def grouping():
    try:
        try:
            failing()
        except ValueError as error:
            raise ExceptionGroup("a group", [error, TypeError()])
    except* TypeError:
        work()
    except* ValueError:
        work()


def formatting():
    try:
        failing()
    except ValueError:
        return traceback.format_exc()


def main():
    for _ in workload.turns():
        catching()
        finishing()
        managing()
        chaining()
        grouping()
        formatting()


if __name__ == "__main__":
    workload.start(TRUTH, main)
