# SPDX-License-Identifier: GPL-2.0-only
"""Class bodies, metaclasses, comprehensions (inlined since 3.12), exec'd modules, match."""

import workload

WORK = {"work": {}}
TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "defining": {
            "defining.<locals>.Body": {"work": {}, "defining.<locals>.Body.Inner": WORK},
            "Meta.__prepare__": WORK,
            "defining.<locals>.WithMeta": WORK,
            "Meta.__new__": WORK,
            "Base.__init_subclass__": WORK,
        },
        "comprehending": {"work": {}, "comprehending.<locals>.<genexpr>": WORK},
        "matching": {"Point.__eq__": WORK, "work": {}},
        "unpacking": {"Pair.__iter__": WORK},
        "formatting": {"Pair.__format__": WORK},
    }}}
}


def work(rounds=30):
    total = 0
    for number in range(rounds):
        total += number
    return total


class Meta(type):
    @classmethod
    def __prepare__(mcs, _name, _bases):
        work()
        return {}

    def __new__(mcs, name, bases, names):
        work()
        return super().__new__(mcs, name, bases, names)


class Base:
    def __init_subclass__(cls):
        work()


def defining():
    class Body(Base):
        value = work()
        squares = [number * number for number in range(50)]

        class Inner:
            value = work()

    class WithMeta(metaclass=Meta):
        value = work()

    return Body, WithMeta


def comprehending():
    listed = [work() for _ in range(5)]
    named = {number: work() for number in range(5)}
    unique = {work(number) for number in range(5)}
    nested = [[work() for _ in range(3)] for _ in range(3)]
    return listed, named, unique, nested, sum(work() for _ in range(5))


class Point:
    def __eq__(self, other):
        work()
        return other is None


def matching(value):
    match value:
        case 1:
            return 1
        case None:
            return 2
        case Point():
            return work()


class Pair:
    def __iter__(self):
        work()
        yield 1
        work()
        yield 2

    def __format__(self, _specification):
        work()
        return "pair"


def unpacking():
    left, right = Pair()
    return left, right


def formatting():
    return f"{Pair()}"


def main():
    for _ in workload.turns():
        defining()
        comprehending()
        matching(Point())
        unpacking()
        formatting()


if __name__ == "__main__":
    workload.start(TRUTH, main)
