# SPDX-License-Identifier: GPL-2.0-only
"""What the workloads share: a loop that runs for a while, and the truth about its stacks.

A workload is a program whose Python stacks are known by construction. It says so itself, as a tree:

    TRUTH = {"<module>": {"main": {"turns": {}, "outer": {"inner": {}}}}}

A stack is true if its frames of the workload's own files walk down this tree from the top; it may
end at any node. "name*200" is name, 200 deep: what is under it is reached only from the 200th.
A "#" in a name is a number, the same one in the whole stack.

That leaves the frames of the standard library, which differ from version to version. So the same
program, run with --truth DIRECTORY by the same Python, without trampolines, goes through every turn
of its loop under sys.setprofile and writes down each stack it has seen: a true stack, whole, is one
of those (or the beginning of one).

    NAME.py [--seconds S]        run; each worker prints "ready PID" when it enters its loop
    NAME.py --truth DIRECTORY    print {"tree", "workers"} as JSON, record all stacks there
"""

import gc
import json
import os
import sys
import threading
import time

# Turns recorded. More than one: lazily imported modules and warm caches change later turns' stacks;
# more than a few: CPython specialises bytecode after some rounds.
RECORDED_TURNS = 40

# Handed to children by the environment: they are started with other arguments than ours.
ENV_TRUTH = "PYPROF_WORKLOAD_TRUTH"
ENV_SECONDS = "PYPROF_WORKLOAD_SECONDS"

# Finalisers run where a cycle happens to be collected: stacks that nobody could know.
gc.disable()


class Recorder:
    """Every stack that this thread has while it is on; nothing unless truth is asked for."""

    def __init__(self):
        self.directory = os.environ.get(ENV_TRUTH)
        self.chains = set()

    def seen(self, frame, event, _argument):
        if event != "call":
            return
        chain = []
        while frame is not None:
            code = frame.f_code
            chain.append(f"{code.co_qualname}:{code.co_filename}")
            frame = frame.f_back
        self.chains.add(tuple(reversed(chain)))

    def __enter__(self):
        if self.directory:
            sys.setprofile(self.seen)
        return self

    def __exit__(self, *_exception):
        if not self.directory:
            return
        sys.setprofile(None)
        name = f"{os.getpid()}.{threading.get_ident()}.{time.monotonic_ns()}.json"
        with open(os.path.join(self.directory, name), "w", encoding="utf-8") as out:
            json.dump(sorted(self.chains), out)


def turns():
    """The loop of a worker: its rounds, until the time is over."""
    if os.environ.get(ENV_TRUTH):
        with Recorder():
            yield from range(RECORDED_TURNS)
        return
    end = time.monotonic() + float(os.environ.get(ENV_SECONDS, "60"))
    os.write(1, b"ready %d\n" % os.getpid())
    turn = 0
    while time.monotonic() < end:
        yield turn
        turn += 1


def start(tree, main, workers=1):
    """Runs main() as the command line says."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--truth"]:
        os.environ[ENV_TRUTH] = arguments[1]
        main()
        print(json.dumps({"tree": tree, "workers": workers}))
        return
    if arguments[:1] == ["--seconds"]:
        os.environ[ENV_SECONDS] = arguments[1]
    main()
