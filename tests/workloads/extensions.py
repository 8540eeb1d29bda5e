# SPDX-License-Identifier: GPL-2.0-only
"""C-heavy work (json, zlib, sqlite3, hashlib): deep in C libraries, with and without callbacks."""

import hashlib
import json
import sqlite3
import zlib

import workload

WORK = {"work": {}}
TRUTH = {
    "<module>": {"start": {"main": {
        "turns": {},
        "encoding": {"default": WORK},
        "decoding": {"hook": WORK},
        "compressing": {},
        "hashing": {},
        "querying": {
            "scalar": WORK,
            "Sum.__init__": {},
            "Sum.step": WORK,
            "Sum.finalize": WORK,
            "collate": WORK,
        },
    }}}
}

DOCUMENT = {"items": [{"name": f"item {n}", "values": list(range(20))} for n in range(20)]}
TEXT = json.dumps(DOCUMENT)
BYTES = TEXT.encode() * 4


def work(rounds=20):
    total = 0
    for number in range(rounds):
        total += number
    return total


def default(value):
    work()
    return sorted(value)


def encoding():
    return json.dumps([DOCUMENT, {1, 2, 3}, {4, 5}], default=default)


def hook(value):
    work()
    return value


def decoding():
    return json.loads(TEXT, object_hook=hook)


def compressing():
    return zlib.decompress(zlib.compress(BYTES, 6))


def hashing():
    return hashlib.sha256(BYTES).hexdigest() + hashlib.md5(BYTES).hexdigest()


def scalar(value):
    work()
    return value * 2


class Sum:
    def __init__(self):
        self.total = 0

    def step(self, value):
        work()
        self.total += value

    def finalize(self):
        work()
        return self.total


def collate(left, right):
    work()
    return (left > right) - (left < right)


def querying(database):
    database.execute("SELECT scalar(value) FROM numbers ORDER BY value DESC").fetchall()
    database.execute("SELECT total_of(value) FROM numbers WHERE value > 3").fetchone()
    database.execute("SELECT name FROM numbers ORDER BY name COLLATE ours").fetchall()
    database.execute("SELECT count(*) FROM numbers a, numbers b WHERE a.value < b.value").fetchone()


def main():
    database = sqlite3.connect(":memory:")
    database.create_function("scalar", 1, scalar)
    database.create_aggregate("total_of", 1, Sum)
    database.create_collation("ours", collate)
    database.execute("CREATE TABLE numbers (value INTEGER, name TEXT)")
    database.executemany("INSERT INTO numbers VALUES (?, ?)", [(n, f"n{n}") for n in range(60)])
    for _ in workload.turns():
        encoding()
        decoding()
        compressing()
        hashing()
        querying(database)


if __name__ == "__main__":
    workload.start(TRUTH, main)
