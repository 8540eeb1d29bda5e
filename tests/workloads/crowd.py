# SPDX-License-Identifier: GPL-2.0-only
"""Many that do a little: crowd.py threads|processes COUNT

Each works for a moment, a few times in a second; together they keep no more than a CPU busy. "ready"
is printed once all are there.
"""

import os
import sys
import threading
import time

WORK_SECONDS = 0.0005
BUSY = 0.5  # of a CPU, all of them together


def work(number):
    end = time.thread_time() + WORK_SECONDS
    while time.thread_time() < end:
        sum(range(number % 50 + 50))


def live(number, count):
    while True:
        work(number)
        time.sleep(WORK_SECONDS * count / BUSY)


def threads(count):
    threading.stack_size(256 * 1024)
    for number in range(count):
        threading.Thread(target=live, args=(number, count), daemon=True).start()


def processes(count):
    for number in range(count):
        if os.fork() == 0:
            live(number, count)


def main():
    {"threads": threads, "processes": processes}[sys.argv[1]](int(sys.argv[2]))
    print("ready", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
