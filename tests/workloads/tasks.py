# SPDX-License-Identifier: GPL-2.0-only
"""asyncio: tasks resumed by the event loop, awaiting through several coroutines, with timers."""

import asyncio

import workload

WORK = {"work": {}}
TRUTH = {
    "<module>": {"start": {"main": {
        "serve": {
            "turns": {},
            "request": {"query": {"fetch": WORK}, "render": WORK},
            "listen": {},  # made here, run by its task
        },
        "request": {"query": {"fetch": WORK}, "render": WORK},
        "stream": WORK,
        "listen": {"stream": WORK, "work": {}},
        "later": WORK,
    }}}
}


def work(rounds=600):
    total = 0
    for number in range(rounds):
        total += number
    return total


async def fetch(pause):
    work()
    await asyncio.sleep(pause)
    work()


async def query(pause):
    await fetch(pause)
    await fetch(0)


async def render():
    work()


async def request(pause):
    await query(pause)
    await render()


async def stream(count):
    for _ in range(count):
        work()
        await asyncio.sleep(0)
        yield count


async def listen():
    async for _ in stream(5):
        work()


def later():
    work()


async def serve():
    loop = asyncio.get_running_loop()
    for turn in workload.turns():
        loop.call_soon(later)
        await request(0)
        # A timer seldom: a loop that waits is no load.
        await asyncio.gather(request(0), request(0 if turn % 20 else 0.0001), listen())
        await asyncio.create_task(listen())


def main():
    asyncio.run(serve())


if __name__ == "__main__":
    workload.start(TRUTH, main)
