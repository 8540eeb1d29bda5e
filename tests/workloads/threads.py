# SPDX-License-Identifier: GPL-2.0-only
"""Eight threads, each in functions of its own: a stack must never mix two of them."""

import threading

import workload

THREADS = 8
CHAIN = {"first_#": {"second_#": {"work": {}}}}
TRUTH = {
    "<module>": {"start": {"main": {}}},
    "body": {"turns": {}, **CHAIN},
}


def work(rounds=2000):
    total = 0
    for number in range(rounds):
        total += number
    return total


def body(first):
    for _ in workload.turns():
        first()


SOURCE = """
def second_{n}():
    return work()

def first_{n}():
    return second_{n}()
"""


def main():
    for number in range(THREADS):
        exec(compile(SOURCE.format(n=number), __file__, "exec"), globals())
    firsts = [globals()[f"first_{number}"] for number in range(THREADS)]
    threads = [threading.Thread(target=body, args=(first,)) for first in firsts]
    with workload.Recorder():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    workload.start(TRUTH, main, workers=THREADS)
