# SPDX-License-Identifier: GPL-2.0-only
"""What the accuracy programs share: workloads recorded, each sample judged.

A sample is right if its stack reaches the thread's root and its Python frames are, all of them
and in order, a chain that the program can have (see truth.py). At least 99.9% must be; none may be
wrong. The first 100 ms of each process are left out. A table of all figures ends the output.

`make test` records for some half a second at 1999 Hz: a thousand samples, of which one may be cut. It
has half of the cells. Of the CPythons that have trampolines, each workload runs on two with them
(test_python) and on the two others without (test_interp), so between them every workload runs on
every version; of the older ones it runs on two. Which two goes through all pairs of versions from
workload to workload, so every version has about half of the workloads of each program.
`make test-long` runs all cells for longer at 999 Hz; a version or workload named as an argument has
all of its cells run as long.
"""

import concurrent.futures
import itertools
import sys
import time

import pyprof
import truth

HERTZ = 999 if pyprof.LONG else 1999
SHORT_SECONDS = 0.6
SHORT_SAMPLES_MIN = 600
PERCENT_MIN = 99.9
SETTLE_SECONDS = 0.1  # the target is stated for what comes after the first 100 ms

# Two at a time: each keeps about one CPU busy, and two sessions of one rate share a sampling set.
AT_ONCE = 2

WORKLOADS = (
    "nested", "recursion", "generators", "callbacks", "extensions", "raising", "threads", "tasks",
    "forked", "spawned", "decorated", "bodies", "instances", "foreign", "released", "replaced",
    "made",
)  # fmt: skip


def two_of(versions, name):
    """Those on which `make test` runs a workload; neighbours in WORKLOADS get different ones."""
    pairs = list(itertools.combinations(versions, 2)) or [tuple(versions)]
    return pairs[WORKLOADS.index(name) % len(pairs)]


class Program:
    """An accuracy program: workloads on versions, a test each."""

    def __init__(
        self, versions, names, *, seconds, samples, start, short, since=None, percent=None
    ):
        """seconds: of a recording, samples: that there must be of a cell, but for `make test`.
        start: (name) -> how to start it. short: (name, versions) -> those of `make test`, of the
        versions that can run the workload. since: the first that can. percent: what a version must
        reach instead of PERCENT_MIN.
        """
        self.versions = [v for v in versions if v in sys.argv] or versions
        self.names = [n for n in names if n in sys.argv] or names
        self.whole = pyprof.LONG or len(sys.argv) > 1
        self.seconds = seconds
        self.samples = samples
        self.short = short
        self.since = since or {}
        self.percent = percent or {}
        self.start = start
        self.tap = pyprof.Tap()
        self.table = {}

    def cells(self):
        """(version, name) of each cell to be measured; what a version cannot run is skipped."""
        for name in self.names:
            since = self.since.get(name)
            able = [v for v in self.versions if not since or minor(v) >= minor(since)]
            for version in self.versions if self.whole else self.short(name, able):
                yield version, name

    def measure(self, daemon, version, name, seconds, samples):
        """Runs the workload, records it until there are enough samples, judges each."""
        python = pyprof.python(version)
        known = truth.learn(python, name, daemon.work)
        how = self.start(name)
        with pyprof.Workload(python, name, where=daemon.work, **how) as program:
            program.wait_ready(known.workers)
            time.sleep(SETTLE_SECONDS)
            which = ("-p", program.pid, "--tree")
            stacks = daemon.record(*which, "-d", seconds, "-F", HERTZ, samples=samples)
        return truth.Tally(known, stacks)

    def falls_short(self, version, tally):
        """Incomplete stacks, and too many of them; none wrong."""
        least = self.percent.get(version, PERCENT_MIN)
        return tally.percent() < least and not tally.count[truth.WRONG]

    def check(self, version, tally, samples):
        if tally.faults:
            pyprof.diagnose(tally.report())
        pyprof.expect(
            not tally.count[truth.WRONG] and not self.falls_short(version, tally),
            f"{tally.percent():.2f}% right, {tally.count[truth.WRONG]} wrong",
        )
        pyprof.expect(tally.samples >= samples, f"only {tally.samples} samples, not {samples}")

    def cell(self, daemon, version, name):
        def run():
            since = self.since.get(name)
            if since and minor(version) < minor(since):
                raise pyprof.Skip(f"its syntax is that of CPython {since}")
            long = self.seconds, self.samples
            seconds, samples = long if self.whole else (SHORT_SECONDS, SHORT_SAMPLES_MIN)
            tally = self.measure(daemon, version, name, seconds, samples)
            if self.falls_short(version, tally):
                # A sample or two decide, and the machine has neighbours: what is cut short again,
                # of as many samples as there ever are, is cut short. A wrong stack is wrong the
                # first time.
                pyprof.diagnose(
                    f"measured again: {tally.percent():.2f}% right\n{tally.report()}"
                )
                seconds, samples = long
                tally = self.measure(daemon, version, name, seconds, samples)
            self.table[name, version] = tally
            self.check(version, tally, samples)

        self.tap.run(f"{name} on CPython {version}", run)

    def show(self):
        """Percent right, and of how many samples; the totals of each version."""

        def line(text):
            print(f"#: {text}", flush=True)

        def row(label, texts):
            line("| {:18} |{}".format(label, "".join(f" {text:>15} |" for text in texts)))

        def of_version(version):
            return [tally for (_name, v), tally in self.table.items() if v == version]

        versions = self.versions
        row("% right (samples)", versions)
        line(f"|{'-' * 20}|" + f"{'-' * 16}:|" * len(versions))
        for name in self.names:
            cells = [self.table.get((name, version)) for version in versions]
            row(name, [f"{c.percent():.2f} ({c.samples})" if c else "-" for c in cells])
        samples = {v: sum(tally.samples for tally in of_version(v)) for v in versions}
        row("all samples", [samples[v] for v in versions])
        for kind in (truth.RIGHT, truth.INCOMPLETE, truth.UNNAMED, truth.WRONG):
            row(kind, [sum(tally.count[kind] for tally in of_version(v)) for v in versions])
        row(truth.INLINED, [sum(tally.inlined for tally in of_version(v)) for v in versions])

    def run(self, more=lambda tap, daemon: None):
        """Every cell; more() adds tests of what has happened to the daemon meanwhile."""
        cells = sorted(self.cells(), key=lambda cell: self.versions.index(cell[0]))
        try:
            with pyprof.Daemon() as daemon:
                with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                    for version, name in cells:
                        pool.submit(self.cell, daemon, version, name)
                self.show()
                more(self.tap, daemon)
        except pyprof.Skip as reason:
            for version, name in cells:
                self.tap.line(True, f"{name} on CPython {version}", f" # SKIP {reason}")
        except pyprof.Failed as error:
            self.tap.line(False, "the daemon runs and stops cleanly")
            pyprof.diagnose(error)
        self.tap.finish()


def minor(version):
    return int(version.partition(".")[2])
