# SPDX-License-Identifier: GPL-2.0-only
"""Python called by C called by Python: the C frames between must not break or reorder the chain."""

import functools
import operator
import re

import workload

WORK = {"work": {}}
TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "sorting": {"by_key": WORK},
        "comparing": {"compare": WORK},
        "substituting": {"replace": WORK},
        "reducing": {"combine": WORK},
        "mapping": {"mapping.<locals>.<lambda>": WORK},
        "filtering": {"keep": WORK},
        "partials": {"combine": WORK},
        "nesting": {"outer_key": {"inner_key": WORK}},
        "rich": {"Ordered.__lt__": WORK},
        "hashed": {"Hashed.__hash__": WORK, "Hashed.__eq__": WORK},
    }}}
}

WORDS = "the quick brown fox jumps over the lazy dog".split()
PATTERN = re.compile(r"\w+")


def work(rounds=30):
    total = 0
    for number in range(rounds):
        total += number
    return total


def by_key(word):
    work()
    return word


def sorting():
    return sorted(WORDS, key=by_key)


def compare(left, right):
    work()
    return (left > right) - (left < right)


def comparing():
    return sorted(WORDS, key=functools.cmp_to_key(compare))


def replace(match):
    work()
    return match.group().upper()


def substituting():
    return PATTERN.sub(replace, "one two three") + re.sub("[aeiou]", replace, "vowels")


def combine(left, right):
    work()
    return left + right


def reducing():
    return functools.reduce(combine, range(10))


def mapping():
    return list(map(lambda word: work(), WORDS))


def keep(word):
    return work() and len(word) > 3


def filtering():
    return list(filter(keep, WORDS))


def partials():
    return [add(2) for add in [functools.partial(combine, 1)] * 5]


def inner_key(letter):
    work()
    return letter


def outer_key(word):
    return sorted(word, key=inner_key)


def nesting():
    return max(WORDS, key=outer_key)


class Ordered:
    def __init__(self, word):
        self.word = word

    def __lt__(self, other):
        work()
        return operator.lt(self.word, other.word)


ORDERED = [Ordered(word) for word in WORDS]


def rich():
    return sorted(ORDERED)


class Hashed:
    def __hash__(self):
        work()
        return 1

    def __eq__(self, other):
        work()
        return self is other


HASHED = [Hashed(), Hashed(), Hashed()]


def hashed():
    return set(HASHED)


def main():
    for _ in workload.turns():
        sorting()
        comparing()
        substituting()
        reducing()
        mapping()
        filtering()
        partials()
        nesting()
        rich()
        hashed()


if __name__ == "__main__":
    workload.start(TRUTH, main)
