# SPDX-License-Identifier: GPL-2.0-only
"""Plain calls: functions, methods of every sort, closures, lambdas, every way to pass arguments."""

import workload

TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "outer": {"middle": {"inner": {"leaf": {}}, "leaf": {}}},
        "by_keyword": {"leaf": {}},
        "unpacked": {"leaf": {}},
        "closure.<locals>.inside": {"leaf": {}},
        "main.<locals>.<lambda>": {"leaf": {}},
        "Thing.method": {"Thing.static": {"leaf": {}}, "Thing.of_class": {"leaf": {}}},
        "Thing.value": {"leaf": {}},
        "Thing.__call__": {"leaf": {}},
        "Thing.__getitem__": {"leaf": {}},
        "Thing.__add__": {"leaf": {}},
        "Thing.__getattr__": {"leaf": {}},
    }}}
}


def leaf(rounds):
    total = 0
    for number in range(rounds):
        total += number * 3
    return total


def inner(rounds):
    return leaf(rounds) + sum(range(rounds))


def middle(rounds):
    return inner(rounds) + leaf(rounds)


def outer(rounds):
    return middle(rounds) + 1


def by_keyword(*, rounds, scale=1):
    return leaf(rounds=rounds) * scale


def unpacked(*arguments, **options):
    return leaf(*arguments, **options)


def closure(rounds):
    def inside():
        return leaf(rounds)

    return inside


class Thing:
    def __init__(self, rounds):
        self.rounds = rounds

    def method(self):
        return self.static(self.rounds) + self.of_class(self.rounds)

    @staticmethod
    def static(rounds):
        return leaf(rounds)

    @classmethod
    def of_class(cls, rounds):
        return leaf(rounds)

    @property
    def value(self):
        return leaf(self.rounds)

    def __call__(self):
        return leaf(self.rounds)

    def __getitem__(self, rounds):
        return leaf(rounds)

    def __add__(self, rounds):
        return leaf(rounds)

    def __getattr__(self, name):
        return leaf(len(name) * 10)


def main():
    thing = Thing(60)
    inside = closure(60)
    for _ in workload.turns():
        outer(60)
        by_keyword(rounds=60, scale=2)
        unpacked(60)
        unpacked(rounds=60)
        inside()
        (lambda rounds: leaf(rounds))(60)
        thing.method()
        thing.value
        thing()
        thing[60]
        thing + 60
        thing.absent


if __name__ == "__main__":
    workload.start(TRUTH, main)
