# SPDX-License-Identifier: GPL-2.0-only
"""Judges stacks against a workload's truth (see tests/workloads/workload.py for what that is)."""

import bisect
import collections
import json
import os
import re
import subprocess

import pyprof

# Where a thread of a Python begins. Files without a symbol there give [MODULE+0xOFFSET].
ROOTS = re.compile(r"_start|(__)?clone3?|thread_start|\[[^]]+\+0x[0-9a-f]+\]")

LOOP = re.compile(r"_PyEval_EvalFrameDefault(\.\w+)*")

# A frame of its own before 3.12, part of its function since: left out of what a tree is held to.
COMPREHENSION = re.compile(r"(.*\.)?<(list|dict|set)comp>")

RIGHT, INCOMPLETE, UNNAMED, WRONG = "right", "incomplete", "unnamed", "wrong"

# Right, with an __init__ that the interpreter ran in its caller's evaluation loop: no frame to see.
INLINED = "inlined __init__"


class Node:
    """A frame that may be there, and those that may come under it."""

    def __init__(self, name, children, qualified):
        if not qualified:
            name = name.rpartition(".")[2]
        self.pattern = re.compile(re.escape(name).replace(r"\#", r"(\d+)"))
        self.children = children


def nodes_of(tree, qualified):
    """A workload's tree as nodes, "name*N" written out; names without what qualifies them, where
    frames have none such."""
    nodes = []
    for key, below in tree.items():
        name, _star, times = key.partition("*")
        children = nodes_of(below, qualified)
        for _ in range(int(times or 1)):
            children = [Node(name, children, qualified)]
        nodes += children
    return nodes


def walks(nodes, names, number=None):
    """Whether names go down the tree, all their numbers the same."""
    if not names:
        return True
    for node in nodes:
        match = node.pattern.fullmatch(names[0])
        if not match:
            continue
        here = match.group(1) if match.groups() else None
        if here and number and here != number:
            continue
        if walks(node.children, names[1:], number or here):
            return True
    return False


def normal(frame):
    """Code made at run time is never the same twice: its recorded frames stand for all numbers."""
    return re.sub(r"\d+", "#", frame) if ":<made " in frame else frame


class Truth:
    def __init__(self, name, script, told, chains, inits=()):
        """told: what --truth printed; chains, inits: lists of QUALNAME:FILE."""
        self.nodes = nodes_of(told["tree"], told["qualified"])
        self.workers = told["workers"]
        self.own = (script, os.path.join(os.path.dirname(script), "workload.py"))
        self.name = name
        self.recorded = [tuple(chain) for chain in chains]
        self.inits = {tuple(map(normal, chain)) for chain in inits} if told["inlines"] else set()
        self.trie = {}
        for chain in chains:
            level = self.trie
            for frame in chain:
                level = level.setdefault(normal(frame), {})

    def own_names(self, chain):
        """The names of the frames that the workload itself made."""
        own = []
        for frame in chain:
            name, _colon, file = frame.partition(":")
            mine = file in self.own or file.startswith("<made ")
            if mine and not COMPREHENSION.fullmatch(name):
                own.append(name)
        return own

    def seen(self, chain, level=None, before=()):
        """The recorded chains that this is, inlined __init__s put back; [] if it is none."""
        if level is None:
            level = self.trie
            if not self.inits:
                return self.seen_whole(chain)
        if not chain:
            return [before]
        found = []
        frame = normal(chain[0])
        if frame in level:
            found += self.seen(chain[1:], level[frame], (*before, chain[0]))
        for init in level if self.inits else ():
            if (*map(normal, before), init) in self.inits:
                found += self.seen(chain, level[init], (*before, init))
        return found

    def seen_whole(self, chain):
        """The same where no __init__ is inlined; [] if it is none."""
        level = self.trie
        for frame in chain:
            level = level.get(normal(frame))
            if level is None:
                return []
        return [tuple(chain)]

    def first_unseen(self, chain):
        """The first frame of an unseen chain with which it is that."""
        ends = range(1, len(chain) + 1)
        return chain[bisect.bisect(ends, 0, key=lambda end: not self.seen(chain[:end]))]

    def possible(self, chain):
        """(whether frames were put back, why a chain of QUALNAME:FILE is not a true one or None)"""
        if not chain:
            return False, "no Python frame"
        seen = self.seen(chain)
        if not seen:
            return False, f"never seen by the interpreter, from {self.first_unseen(chain)} on"
        for whole in seen:
            if walks(self.nodes, self.own_names(whole)):
                return len(whole) > len(chain), None
        return False, "not in the workload's tree"

    def judge(self, stack):
        """(verdict, why) of a folded stack."""
        if pyprof.is_truncated(stack):
            return INCOMPLETE, stack.frames[0]
        if not stack.frames:
            return INCOMPLETE, "empty"
        kernel = [frame.endswith("_[k]") for frame in stack.frames]
        if any(kernel[i] and not kernel[i + 1] for i in range(len(kernel) - 1)):
            return WRONG, "user frames under kernel frames"
        if any(frame.startswith(("py::?", "[//anon", "[anon")) for frame in stack.frames):
            return UNNAMED, "a frame in anonymous code has no name"
        if not ROOTS.fullmatch(stack.frames[0]):
            return INCOMPLETE, f"begins at {stack.frames[0]}"
        if loops_alone(stack.frames):
            return UNNAMED, "an evaluation loop without its Python frame"
        chain = pyprof.python_frames(stack)
        if not chain and any(LOOP.fullmatch(frame) for frame in stack.frames):
            return UNNAMED, "only evaluation loops"
        inlined, why = self.possible(chain)
        return (WRONG, why) if why else (RIGHT, INLINED if inlined else "")


def loops_alone(frames):
    """Whether some evaluation loop has no Python frame of its own: each runs at least one, but for
    the innermost, which may have only just been entered.

    Seen where the interpreter's symbol is known. This is what tells an __init__ that was inlined
    from one that was overlooked.
    """
    loops = alone = 0
    for frame in frames:
        if frame.startswith("py::"):
            if alone:
                return True
            loops = 1
        elif LOOP.fullmatch(frame):
            loops -= 1
            alone += loops < 0
    return alone > 1


def learn(python_command, name, where):
    """Has the workload tell its truth, by the Python that it is to run under."""
    script = pyprof.install_workload(where, name)
    directory = where / f"truth-{name}-{os.urandom(4).hex()}"
    os.mkdir(directory)
    done = subprocess.run(
        [*python_command, script, "--truth", directory],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=120, check=False, text=True, cwd=where.path,
    )  # fmt: skip
    pyprof.expect(done.returncode == 0, f"{name} --truth: {done.returncode}\n{done.stderr}")
    chains, inits = [], []
    for file in os.listdir(directory):
        with open(os.path.join(directory, file), encoding="utf-8") as source:
            recorded = json.load(source)
        chains += recorded["chains"]
        inits += recorded["inits"]
    return Truth(name, script, json.loads(done.stdout.splitlines()[-1]), chains, inits)


class Tally:
    """How the samples of one cell were judged, with an example of each fault."""

    def __init__(self, truth, stacks):
        self.count = collections.Counter()
        self.inlined = 0
        self.faults = {}
        for stack in stacks:
            verdict, why = truth.judge(stack)
            self.count[verdict] += stack.count
            if why == INLINED:
                self.inlined += stack.count
            if verdict != RIGHT:
                seen, example = self.faults.get((verdict, why), (0, stack))
                self.faults[verdict, why] = seen + stack.count, example

    @property
    def samples(self):
        return sum(self.count.values())

    def percent(self, verdict=RIGHT):
        return 100.0 * self.count[verdict] / self.samples if self.samples else 0.0

    def report(self):
        """The faults, most frequent first, each with a stack."""
        lines = []
        worst = sorted(self.faults.items(), key=lambda item: -item[1][0])
        for (verdict, why), (count, stack) in worst[:5]:
            lines += [f"{count} {verdict}: {why}", "    " + ";".join(stack.frames)[-1500:]]
        return "\n".join(lines)
