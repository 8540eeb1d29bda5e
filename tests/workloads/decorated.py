# SPDX-License-Identifier: GPL-2.0-only
"""Decorators, caches, descriptors and context managers: wrappers between caller and callee."""

import contextlib
import functools

import workload

WORK = {"work": {}}
TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "logged.<locals>.wrapper": {
            "plain": WORK,
            "times.<locals>.decorator.<locals>.wrapper": {"stacked": WORK},
        },
        "cached": WORK,
        "Counted.__call__": {"Counted.before": WORK, "counted": WORK},
        "Lazy.__get__": {"Holder.compute": WORK},
        "single": WORK,
        "single_int": WORK,
        "guarding": {"guard": WORK, "work": {}},
    }}}
}


def work(rounds=30):
    total = 0
    for number in range(rounds):
        total += number
    return total


def logged(function):
    @functools.wraps(function)
    def wrapper(*arguments, **options):
        return function(*arguments, **options)

    return wrapper


def times(count):
    def decorator(function):
        def wrapper(*arguments):
            for _ in range(count):
                function(*arguments)

        return wrapper

    return decorator


@logged
def plain():
    return work()


@logged
@times(3)
def stacked():
    return work()


@functools.lru_cache(maxsize=2)
def cached(_number):
    return work()


class Counted:
    def __init__(self, function):
        self.function = function
        self.count = 0

    def before(self):
        self.count += 1
        work()

    def __call__(self):
        self.before()
        return self.function()


@Counted
def counted():
    return work()


class Lazy:
    def __init__(self, function):
        self.function = function

    def __get__(self, instance, _owner):
        return self.function(instance)


class Holder:
    @Lazy
    def compute(self):
        return work()


@functools.singledispatch
def single(_value):
    return work()


@single.register
def single_int(_value: int):
    return work()


@contextlib.contextmanager
def guard():
    work()
    yield
    work()


def guarding():
    with guard():
        work()


def main():
    holder = Holder()
    for turn in workload.turns():
        plain()
        stacked()
        cached(turn)
        counted()
        holder.compute
        single("text")
        single(1)
        guarding()


if __name__ == "__main__":
    workload.start(TRUTH, main)
