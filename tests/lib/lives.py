# SPDX-License-Identifier: GPL-2.0-only
"""Judges names by the lives they belong to, for the tests called test_lives_*.

The programs are such that a name tells whose it is: NAME_NUMBER_... is a function of life NUMBER,
and a life calls itself by a prefix and its number (its comm). What a life may have in its stacks is
thereby known, whatever the addresses were.
"""

import collections
import os
import re
import shutil
import signal

import pyprof
from pyprof import expect

HERTZ = 499

# A Python frame without a name.
UNNAMED = re.compile(r"py::\?|\[python\](\+0x[0-9a-f]+)?|\[python\+0x[0-9a-f]+\]")

# Frames of the interpreter's start and of the library, the same in every life.
COMMON = re.compile(r"py::[^:]*:(<frozen [^>]+>|/.*/lib/python3[^:]*)")


class Seen:
    """What one life was seen to run: its Python names, samples of each, and those without a name."""

    def __init__(self):
        self.samples = 0
        self.names = collections.Counter()
        self.unnamed = 0

    def add(self, stack):
        self.samples += stack.count
        frames = [frame for frame in stack.frames if not COMMON.fullmatch(frame)]
        for name in {frame[4:].split(":", 1)[0] for frame in frames if frame.startswith("py::")}:
            if name != "?":
                self.names[name] += stack.count
        if any(UNNAMED.fullmatch(frame) for frame in frames):
            self.unnamed += stack.count


def by_comm(stacks):
    seen = collections.defaultdict(Seen)
    for stack in stacks:
        seen[stack.comm].add(stack)
    return seen


def check_names(seen, comm, allowed, wanted=(), unnamed=0.01):
    """A life has only names that match `allowed`, all of `wanted`, and hardly any frame without."""
    life = seen[comm]
    expect(life.samples >= 10, f"{comm} was hardly sampled: {life.samples}")
    wrong = {name: count for name, count in life.names.items() if not re.fullmatch(allowed, name)}
    expect(not wrong, f"{comm}, {life.samples} samples, names of other lives: {wrong}")
    for name in wanted:
        found = any(re.fullmatch(name, got) for got in life.names)
        expect(found, f"{comm}: no {name} among {dict(life.names.most_common(8))}")
    share = life.unnamed / life.samples
    expect(share <= unnamed, f"{comm}: {share:.1%} of {life.samples} samples have an unnamed frame")


def addresses_of(lines):
    """{life: the addresses of its functions} of a program's lines `addresses LIFE HEX...`."""
    found = {}
    for line in lines:
        word, *rest = line.split()
        if word == "addresses":
            found[rest[0]] = set(rest[1:])
    return found


def install(where, name):
    """Copies a program of tests/workloads, and what such programs share, into a WorkDir; its path
    there."""
    for file in ("life.py", name):
        target = where / file
        if not os.path.exists(target):
            shutil.copy(os.path.join(pyprof.TESTS, "workloads", file), target)
    return where / name


def pythons():
    """{version: command} of all that can be had; {version: reason} of the others."""
    found, missing = {}, {}
    for version in pyprof.VERSIONS:
        try:
            found[version] = pyprof.python(version)
        except pyprof.Skip as reason:
            missing[version] = reason
    return found, missing


class Recorded:
    """Programs run side by side under one daemon, and the stacks that all had."""

    def __init__(self, seconds):
        """seconds: the longest that the programs may take."""
        self.seconds = seconds
        self.daemon = pyprof.Daemon()
        self.work = pyprof.WorkDir()
        self.pythons, self.missing = {}, {}
        self.stacks = []
        self.seen = {}
        self.programs = {}

    def start(self):
        """Starts the programs, into self.programs; to be overridden."""

    def finish(self):
        """Waits for the programs to be done; may be overridden."""
        for program in self.programs.values():
            program.wait_for("done", seconds=self.seconds + pyprof.START_SECONDS)

    def is_recording(self):
        return self.daemon.call("GetStatus")["sessions"] > 0

    def __enter__(self):
        self.work.__enter__()
        self.pythons, self.missing = pythons()
        self.daemon.__enter__()
        try:
            recorder = self.daemon.popen(
                "record", "-a", "-d", self.seconds, "-F", HERTZ, "-f", "folded", "-o",
                self.work / "out", stderr=-1,
            )  # fmt: skip
            pyprof.wait_until(self.is_recording, pyprof.START_SECONDS, "the recording to begin")
            self.start()
            self.finish()
            recorder.send_signal(signal.SIGINT)
            errors = recorder.communicate(timeout=self.seconds + pyprof.CTL_SECONDS)[1]
            expect(recorder.returncode == 0, f"record: {errors}")
        except BaseException:
            self.__exit__(None)
            raise
        finally:
            for program in self.programs.values():
                program.__exit__()
        with open(self.work / "out", encoding="utf-8") as out:
            self.stacks = pyprof.parse_folded(out.read())
        self.seen = by_comm(self.stacks)
        return self

    def __exit__(self, *exception):
        try:
            self.daemon.__exit__(*exception)
        finally:
            self.work.__exit__()

    def need(self, version):
        if version in self.missing:
            raise pyprof.Skip(self.missing[version])
