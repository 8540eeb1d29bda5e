# SPDX-License-Identifier: GPL-2.0-only
"""From a new function's first call to its name in a stream of stacks."""

import re
import time

import pyprof

# Calls a new function every 50 ms, each for 40 ms; its name is the moment of its first call.
FRESH = """
import time
print("ready", flush=True)
while True:
    name = f"at_{time.monotonic_ns()}"
    scope = {}
    exec(f"def {name}(end):\\n while time.monotonic() < end: sum(range(500))", {"time": time}, scope)
    scope[name](time.monotonic() + 0.04)
    time.sleep(0.01)
"""


def bench_visible():
    """From a function's first call, which writes its entry, to its name in a stream of stacks."""
    python = pyprof.any_python()
    delays = []
    with pyprof.Daemon(frequency=99) as daemon:
        path = daemon.work / "fresh.py"
        with open(path, "w", encoding="ascii") as file:
            file.write(FRESH)
        with pyprof.Program([*python, "-X", "perf", path], cwd=daemon.work.path) as program:
            program.wait_for("ready")
            with daemon.connect(timeout=60) as connection:
                parameters = {"interval_ms": 100, "filter": {"pid": program.pid}}
                connection.send("Watch", parameters, more=True)
                end = time.monotonic() + 12
                while time.monotonic() < end:
                    reply = connection.receive()
                    now = time.monotonic_ns()
                    for frame in reply["parameters"].get("frames", []):
                        match = re.match(r"at_(\d+)$", frame.get("name", ""))
                        if match:
                            delays.append((now - int(match.group(1))) / 1e6)
    delays.sort()
    if not delays:
        print("    no function was seen")
        return
    print(
        f"    {len(delays)} functions, of an interval of 100 ms: median "
        f"{delays[len(delays) // 2]:.0f} ms, 90% within {delays[len(delays) * 9 // 10]:.0f} ms, "
        f"most {delays[-1]:.0f} ms"
    )
