# SPDX-License-Identifier: GPL-2.0-only
"""The interpreter's frames, in Pythons without trampolines: what walking them adds to a sample."""

import time

import pyprof
from rows.measure import Chain, deep, map_id, times_so_far

# Without trampolines: levels are Python frames, of which one evaluation loop runs all.
CHAIN_VERSIONS = ("3.15", "3.13", "3.12", "3.11", "3.9")
CHAIN_LEVELS = (30, 200)
CHAIN_SECONDS = 4
HERTZ = (99, 999)


def bench_chain():
    with pyprof.Daemon("--measure", frequency=1) as daemon:
        for version in CHAIN_VERSIONS:
            try:
                python = pyprof.python(version)
            except pyprof.Skip as reason:
                print(f"CPython {version}: skipped, {reason}")
                continue
            for levels in CHAIN_LEVELS:
                chain_rows(daemon, version, python, levels)


def chain_rows(daemon, version, python, levels):
    with deep(python, daemon.work, levels, "calls", options=()) as program:
        for hertz in HERTZ:
            parameters = {"frequency": hertz, "filter": {"pid": program.pid}}
            with daemon.connect(timeout=60) as connection:
                session = connection.call("StartSession", parameters)["session"]
                time.sleep(1)
                before, began = daemon.counters(), times_so_far(map_id(daemon, "times"))
                time.sleep(CHAIN_SECONDS)
                chain = Chain(before, daemon.counters())
                took = times_so_far(map_id(daemon, "times"))
                connection.call("ReadSession", {"session": session, "stop": True})
            print(
                f"CPython {version}, {levels} levels, {hertz} Hz: median "
                f"{took['chain'] - began['chain']} of {took['sample'] - began['sample']}\n"
                f"    {chain}",
                flush=True,
            )
