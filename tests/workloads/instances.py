# SPDX-License-Identifier: GPL-2.0-only
"""Classes at work: what CPython's specialised instructions may enter without a C call.

__init__ by a call of the class (plain, inherited, with keywords), properties, __getitem__,
__getattribute__, iteration.
"""

import workload

WORK = {"work": {}}
TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "making": {
            "Plain.__init__": WORK,
            "Derived.__init__": {"Plain.__init__": WORK, "work": {}},
            "Keywords.__init__": WORK,
            "Slots.__init__": WORK,
        },
        "asking": {
            "Point.size": WORK,
            "Point.__getitem__": WORK,
            "Strict.__getattribute__": WORK,
            "Point.__len__": WORK,
            "Point.__add__": WORK,
        },
        "walking": {
            "Point.__iter__": WORK,
            "Countdown.__init__": {}, "Countdown.__iter__": {}, "Countdown.__next__": WORK,
            "work": {},
        },
    }}}
}


def work(rounds=40):
    total = 0
    for number in range(rounds):
        total += number
    return total


class Plain:
    def __init__(self, rounds):
        self.total = work(rounds)


class Derived(Plain):
    def __init__(self, rounds):
        super().__init__(rounds)
        self.more = work(rounds)


class Keywords:
    def __init__(self, *, rounds):
        self.total = work(rounds)


class Slots:
    __slots__ = ("total",)

    def __init__(self, rounds):
        self.total = work(rounds)


class Point:
    @property
    def size(self):
        return work()

    def __getitem__(self, index):
        return work(index)

    def __len__(self):
        work()
        return 1

    def __add__(self, other):
        return work()

    def __iter__(self):
        yield work()


class Strict(Point):
    def __getattribute__(self, name):
        return work()


class Countdown:
    def __init__(self):
        self.left = 3

    def __iter__(self):
        return self

    def __next__(self):
        work()
        self.left -= 1
        if not self.left:
            raise StopIteration


def making():
    Plain(30)
    Derived(30)
    Keywords(rounds=30)
    Slots(30)


def asking(point, strict):
    point.size
    point[30]
    strict.anything
    len(point)
    point + point


def walking(point):
    for _ in point:
        work()
    for _ in Countdown():
        work()


def main():
    point, strict = Point(), Strict()
    for _ in workload.turns():
        making()
        asking(point, strict)
        walking(point)


if __name__ == "__main__":
    workload.start(TRUTH, main)
