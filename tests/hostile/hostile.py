# SPDX-License-Identifier: GPL-2.0-only
"""Attacks on the daemon by processes without privilege, and the judgement that all of them get.

A test program here is a table: one Row an attack, then `hostile.main(ROWS)`. An attack is a program
in attacks/, run as a user of its own (no two rows share one: who made the reader hang is in debt
for a while) in a session of its own, with bounded resources. It prints `ready` once it attacks, and
goes on until it is killed. What only root can lay in its way is laid by the row's before().

Whatever a row says of itself, during the attack and after it:

- a bystander, a CPython of another user that makes functions all the time, has the right stack and
  every name in at least 99.9% of its samples;
- the daemon answers all along; its memory stays below BUDGET, its reader's below READER_BUDGET, its
  ELF worker's below WORKER_BUDGET;
- no turn of its loop took longer than TURN_USEC. The daemon's figure is the longest since its start,
  so the first row that passes the limit fails, and the next gets a new daemon;
- the secret, a file that only root may read, was opened and read by nobody but, where the row lets
  it, the attacker. It is a perf map that
  names every place where a trampoline may lie, so a reader that takes it in shows its name;
- the counters that the row names have risen, and `ps` and `doctor` say what it says they must.

In `make test`, neighbouring rows that are `beside` others attack at the same time, up to BESIDE of
them, and what is not said of one process is judged of all: their counters have risen by the sum. If
any of it is wrong, that is a failure, and each of them attacks alone as well, to tell whose it is.
Programs whose attackers leave the CPUs and the daemon's worker to others run beside each other.
In `make test-long` each row attacks alone, and those that take `long` do as well; and it records for
as long as the rows say, `make test` for SHORT of that, at twice the rate.
"""

import collections
import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import container
import pyprof
from pyprof import Failed, expect

MIB = 1 << 20

# What the daemon's tables may hold by their own limits: perf maps 128 MiB (PP_PERFMAPS_MEMORY_MAX),
# names 64 (PP_STORE_STRINGS_MAX), processes 16 (PP_PROCESSES_BYTES_MAX), unwind tables 32
# (PP_DEFAULT_TABLES_BYTES); and 16 for the program, stacks and counts of this short a life.
BUDGET = 256 * MIB
# The reader holds one process's mappings (PP_SCAN_MAPS_MAX) and one message at a time.
READER_BUDGET = 32 * MIB
# What one file's frames, rows and symbols may take (cfi.c's and symbols.c's limits), and the symbols
# kept of others (CACHE_BYTES). The kernel stops it at PP_SANDBOX_MEMORY_MAX of address space.
WORKER_BUDGET = 384 * MIB
TURN_USEC = 50000

# A bystander's samples. It shares the CPUs with the attackers: there are some hundreds a recording.
HERTZ = 499 if pyprof.LONG else 999
SAMPLES_MIN = 10
NAMED = 0.999
SHORT = 1 if pyprof.LONG else 0.6
AFTER_SECONDS = 1  # how long it is recorded once the attack is over

# Rows that attack at the same time: each leaves the bystander a share of the CPUs.
BESIDE = 8

PATIENCE_SECONDS = 60  # until the daemon has come to what an attack laid out
READY_SECONDS = 120  # an attack may have gigabytes to lay out first

# Users; no system gives these numbers out. Programs that run at the same time have attackers of their
# own: ATTACKERS is the first row's.
BYSTANDER = 64000
PROGRAMS = sorted(name for name in os.listdir(HERE) if name.startswith("test_"))
ATTACKERS = 66001 + 1000 * PROGRAMS.index(os.path.basename(sys.argv[0]))
AGAIN = 400  # further on: the user of a row that attacks once more, whose home is empty

# What an attacker may use, beyond being one process among others.
LIMITS = ("--nproc=4096", f"--as={4 << 30}", f"--fsize={16 << 30}", "--nofile=4096", "--core=0")

SECRET_NAME = "only_root_knows_this"
# ASLR is off for attackers: the kernel lays their anonymous memory below here.
SECRET_LINE = f"7fff00000000 f7fff000 py::{SECRET_NAME}:/root/secret.py\n"


# sh -c this N GROUP... COMMAND...: as root, into the groups.
ENTER_GROUPS = (
    "sh", "-c", 'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1/cgroup.procs" || exit; shift; '
    'n=$((n - 1)); done; exec "$@"', "sh",
)  # fmt: skip


class Row:
    """One attack."""

    def __init__(
        self, title, attack, *arguments, counters=None, problem=None, seconds=3, before=None,
        file_problem=None, check=None, after=None, fuse=None, group=False, limits=LIMITS, long=False,
        beside=False,
    ):  # fmt: skip
        """attack: a file in attacks/, with its arguments. counters: by name, the least rise. problem:
        what `ps` and `doctor` say of the attacker, in part. file_problem: what they say of a file that
        one of its processes maps. before(stage, uid): run as root, returns
        further arguments. check(stage, attack): more to be judged while it runs. after(stage):
        cleans up behind before(). fuse: root mounts a FUSE file over the attacker's perf map ("map") or
        jitdump ("dump"), which is the attacker's to serve. group: it starts in control groups that are
        its own to divide; they are its last arguments. long: only for `make test-long`. beside: it uses
        no more than a CPU and little memory, so that others may attack at the same time."""
        self.title = title
        self.attack = attack
        self.arguments = arguments
        self.counters = counters or {}
        self.problem = problem
        self.file_problem = file_problem
        self.seconds = seconds
        self.before = before
        self.check = check
        self.after = after
        self.fuse = fuse
        self.group = group
        self.limits = limits
        self.long = long
        self.beside = beside


# ---- What the judgement rests on -----------------------------------------------------------------


class Secret:
    """A root-only perf map, and who opened or read it, by fanotify."""

    OPEN, ACCESS = 0x20, 0x01

    def __init__(self, path):
        self.path = path
        with open(path, "w", encoding="ascii") as out:
            out.write(SECRET_LINE)
        os.chmod(path, 0o600)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fanotify_mark.argtypes = [
            ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p,
        ]  # fmt: skip
        self.mark = libc.fanotify_mark
        self.fd = libc.fanotify_init(0x3, os.O_RDONLY | os.O_CLOEXEC)  # CLOEXEC, NONBLOCK
        self.watch(path)
        # A watch that sees nothing proves nothing.
        with open(path, encoding="ascii") as source:
            source.read()
        expect(self.events(), "fanotify does not tell of a file that was read")

    def watch(self, path):
        """Another file that nobody may open or read. What its maker did to it is not told."""
        if self.fd < 0 or self.mark(self.fd, 1, self.OPEN | self.ACCESS, -100, os.fsencode(path)):
            raise pyprof.Skip(f"no fanotify here: {os.strerror(ctypes.get_errno())}")

    def events(self):
        """(pid, name, what) of all since the last call."""
        seen = []
        while select.select([self.fd], [], [], 0)[0]:
            data = os.read(self.fd, 65536)
            while data:
                length, _v, _r, _m, mask, fd, pid = struct.unpack_from("=IBBHQii", data)
                os.close(fd)
                seen.append((pid, self.name_of(pid), hex(mask)))
                data = data[length:]
        return seen

    @staticmethod
    def name_of(pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as source:
                return source.read().strip()
        except OSError:
            return "?"

    def close(self):
        os.close(self.fd)


class Watch(threading.Thread):
    """Asks the daemon for its status all along, and keeps the worst of what it says."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.daemon_ = daemon
        self.ended = threading.Event()
        self.problem = None
        self.answers = 0
        self.rss = 0
        self.children = {"reader": 0, "worker": 0}

    def run(self):
        while not self.ended.wait(0.1):
            try:
                self.rss = max(self.rss, self.daemon_.call("GetStatus")["rss_bytes"])
                for role, rss in children_rss(self.daemon_):
                    self.children[role] = max(self.children.get(role, 0), rss)
                self.answers += 1
            except (OSError, Failed) as error:
                self.problem = f"the daemon did not answer: {error}"
                return

    def stop(self):
        self.ended.set()
        self.join()


def children_rss(daemon):
    """The memory of each of the daemon's readers and workers, also of abandoned ones: (role, bytes)."""
    pid = daemon.process.pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as source:
        children = source.read().split()
    for child in children:
        try:
            with open(f"/proc/{child}/cmdline", encoding="utf-8", errors="replace") as source:
                words = source.read().split("\0")
            with open(f"/proc/{child}/status", encoding="utf-8", errors="replace") as source:
                found = re.search(r"^VmRSS:\s+(\d+) kB", source.read(), re.M)
        except OSError:
            continue
        if words[1:2] == ["--child"] and found:
            yield words[2], int(found.group(1)) << 10


# The bystander's stacks, root first; everything else is wrong. A caller is seen alone for the few
# instructions between a call and the callee's first.
CHAIN = re.compile(
    r"<module>:\S*/bystander\.py;trunk:\S*/bystander\.py"
    r"(;<module>:made-\d+|;branch_(\d+):made-\2(;leaf_\2:made-\2)?)?"
)


def is_right(stack):
    """A complete stack of the bystander: every Python frame named, in order, none missing."""
    frames = ";".join(pyprof.python_frames(stack))
    return not pyprof.is_truncated(stack) and bool(CHAIN.fullmatch(frames))


# ---- The stage -----------------------------------------------------------------------------------


class Stage:
    """The daemon, the bystander, the secret, and a place for attackers."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.work = None
        self.daemon = None

    def __enter__(self):
        pyprof.need_root()
        for command in ("setpriv", "prlimit", "setarch"):
            pyprof.need(command)
        with contextlib.ExitStack() as stack:
            self.work = stack.enter_context(pyprof.WorkDir())
            self.fuse = ("/usr/bin/python3", self.work / "fuse.py", "--mount")
            for name in ("bystander.py", *(f"attacks/{n}" for n in os.listdir(f"{HERE}/attacks"))):
                if name.endswith((".py", ".c")):
                    shutil.copy(os.path.join(HERE, name), self.work / os.path.basename(name))
            self.python = reachable(pyprof.any_python(), stack, self.work)
            os.mkdir(self.work / "closed", 0o711)  # nobody lists it, anybody walks through it
            self.hierarchies = stack.enter_context(container.Groups())
            self.secret = Secret(self.work / "closed/secret.map")
            stack.callback(self.secret.close)
            stack.callback(self.stop_daemon)
            self.start_daemon()
            self.bystander = stack.enter_context(self.run_as(BYSTANDER, "bystander.py", ["-X", "perf"]))
            self.bystander.wait_for("ready")
            self.warm_up()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self.stack.__exit__(*exception)

    def start_daemon(self):
        self.daemon = pyprof.Daemon().__enter__()

    def warm_up(self):
        """Until the daemon has the tables of all that the bystander maps, and its names."""

        def all_right():
            stacks = self.record(0.5)
            return stacks and all(is_right(stack) for stack in stacks)

        pyprof.wait_until(all_right, pyprof.START_SECONDS, "the bystander's stacks to be right")

    def stop_daemon(self):
        if self.daemon:
            daemon, self.daemon = self.daemon, None
            daemon.__exit__(None, None, None)

    def run_as(self, uid, script, options=(), arguments=(), limits=LIMITS, fuse=None, groups=()):
        """A Python program of this directory, started as the user."""
        become = [
            *ENTER_GROUPS, str(len(groups)), *groups,
            "prlimit", *limits, "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
            "setarch", "-R",
        ]  # fmt: skip
        *enter, interpreter = self.python
        command = [
            *enter, *((*self.fuse, fuse) if fuse else ()), *become, interpreter, *options,
            self.work / script, *map(str, arguments),
        ]  # fmt: skip
        # From /tmp: a Python in a chroot has this directory at its own place, so the same one.
        return pyprof.Program(command, cwd="/tmp")

    def home(self, uid):
        """A directory that belongs to the user."""
        path = self.work / f"home-{uid}"
        os.makedirs(path, exist_ok=True)
        os.chown(path, uid, uid)
        return path

    def groups(self, uid):
        """Control groups of each hierarchy there is, the user's to divide; all below go in the end."""
        found = []
        for version in ("v1", "v2"):
            try:
                group = self.hierarchies.make(version, f"/hostile-{uid}")
            except pyprof.Skip:
                continue
            self.hierarchies.made.remove(group)
            self.stack.callback(remove_groups, group)
            for path in (group, os.path.join(group, "cgroup.procs")):
                os.chown(path, uid, uid)
            found.append(group)
        if not found:
            raise pyprof.Skip("no control groups here")
        return found

    def record(self, seconds):
        """The bystander's stacks, from now on; for longer if an attack leaves it no CPU."""
        which = ("-p", self.bystander.pid)
        return self.daemon.record(
            *which, "-d", seconds, "-F", HERTZ, samples=SAMPLES_MIN, code=None
        )

    def listed(self, pid):
        """What `ps` says of a process, {} if it is not there."""
        found = self.daemon.json("ps", "--all")["processes"]
        return next((process for process in found if process["pid"] == pid), {})

    def everything(self):
        """All that the client would show of now, as text."""
        return "\n".join(
            self.daemon.ctl(*words, code=None).stdout
            for words in (
                ("report", "--stdio", "--since", "60"), ("ps", "--all"), ("doctor",),
                ("status",), ("ps", "--all", "--json"), ("doctor", "--json"),
            )
        )  # fmt: skip


def remove_groups(top):
    """A control group and all below, as soon as what is in them has ended."""

    def gone():
        # By descriptors: paths may be longer than any call takes.
        for _path, names, _files, fd in os.fwalk(top, topdown=False):
            for name in names:
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=fd)
        with contextlib.suppress(OSError):
            os.rmdir(top)
        return not os.path.exists(top)

    pyprof.wait_until(gone, PATIENCE_SECONDS, "the end of what is in the control groups")


def reachable(command, stack, work):
    """The command prefix of a Python, for users who may not enter the directory it lies in."""
    if len(command) > 1:
        return command
    prefix = os.path.dirname(os.path.dirname(command[0]))
    anyone = pyprof.as_nobody("test", "-x", command[0])
    if subprocess.run(anyone, check=False).returncode == 0:
        return command
    place = work / "python"
    os.mkdir(place)
    subprocess.run(["mount", "--bind", "-o", "ro", prefix, place], check=True)
    stack.callback(subprocess.run, ["umount", "-l", place], check=True)
    # One built as a shared library looks for that where it was installed.
    return (
        "env", f"LD_LIBRARY_PATH={place}/lib",
        os.path.join(place, "bin", os.path.basename(command[0])),
    )  # fmt: skip


# ---- The judgement -------------------------------------------------------------------------------


class Judgement:
    """What was found wrong with one row, all of it."""

    def __init__(self):
        self.problems = []

    def add(self, good, text):
        if not good:
            self.problems.append(text)

    def add_of(self, title, function, *arguments):
        """What function(judgement, ...) finds wrong with the row of that title."""
        own = Judgement()
        try:
            function(own, *arguments)
        except Failed as error:
            own.add(False, str(error))
        self.problems += [f"{title}: {problem}" for problem in own.problems]

    def deliver(self):
        expect(not self.problems, "\n".join(self.problems))


def judge_bystander(judgement, stacks, when):
    samples = pyprof.samples_of(stacks)
    wrong = [stack for stack in stacks if not is_right(stack)]
    share = 1 - pyprof.samples_of(wrong) / max(samples, 1)
    judgement.add(samples >= SAMPLES_MIN, f"bystander, {when}: only {samples} samples")
    judgement.add(
        share >= NAMED,
        f"bystander, {when}: {share:.2%} of {samples} samples right, not {NAMED:.1%}; wrong:\n  "
        + "\n  ".join(f"{stack.count} {';'.join(stack.frames)}" for stack in wrong[:5]),
    )
    return samples


def judge_file(judgement, stage, row, uid):
    """A file's refusal is explained where its processes are shown."""

    def listed():
        found = stage.daemon.json("ps", "--all")["processes"]
        return any(
            process["uid"] == uid and row.file_problem in process.get("file_problem", "")
            for process in found
        )

    def diagnosed():
        # Its exit code says that not all are named.
        found = json.loads(stage.daemon.ctl("doctor", "--json", code=None).stdout)["pythons"]
        return any(
            python["process"]["uid"] == uid
            and row.file_problem in python["process"].get("file_problem", "")
            for python in found
        )

    def shown():
        return row.file_problem in stage.daemon.ctl("ps", "--all").stdout

    for condition, what in ((listed, "ps --json"), (diagnosed, "doctor --json"), (shown, "ps")):
        try:
            pyprof.wait_until(condition, PATIENCE_SECONDS, f"{what} to say it")
        except Failed:
            judgement.add(False, f"{what} does not say: {row.file_problem}")


def judge_counters(judgement, stage, rows, before):
    """They have risen by what the rows name, together."""
    least = collections.Counter()
    for row in rows:
        least.update(row.counters)

    def rose():
        now = stage.daemon.counters()
        return {name: now[name] - before[name] for name in least}

    try:
        pyprof.wait_until(
            lambda: all(rise >= least[name] for name, rise in rose().items()), PATIENCE_SECONDS,
            "a rise",
        )  # fmt: skip
    except Failed:
        judgement.add(False, f"counters rose by {rose()}, not {dict(least)}")


def judge_row(judgement, stage, row, uid, attack):
    """What is said of one attacker."""
    if row.problem:
        judge_explanation(judgement, stage, row, attack)
    if row.file_problem:
        judge_file(judgement, stage, row, uid)


def judge_explanation(judgement, stage, row, attack):
    """The doctor says why a file is refused. It is a problem, which `ps` shows, where names are
    missing for it: an interpreter that is walked needs no file."""

    def doctor():
        return stage.daemon.ctl("doctor", attack.pid, code=None)

    try:
        pyprof.wait_until(
            lambda: row.problem in doctor().stdout, PATIENCE_SECONDS, "the explanation"
        )
    except Failed:
        said = doctor()
        judgement.add(False, f"doctor says: {said.stdout}{said.stderr}")
    listed, code = stage.listed(attack.pid), doctor().returncode
    named = listed["named_by"] in ("interpreter", "both") and "problem" not in listed
    if not named:
        judgement.add(row.problem in listed.get("problem", ""), f"ps says: {listed}")
    judgement.add(code == (0 if named else pyprof.UNNAMED), f"doctor ends with {code}: {listed}")


def is_of_another_daemon(pid, daemon):
    """Whether a process is the helper of a pyprofd that is not the one under test."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as source:
            parent = int(source.read().rpartition(")")[2].split()[1])
        return parent != daemon.process.pid and os.readlink(f"/proc/{parent}/exe").endswith("/pyprofd")
    except OSError:
        return False


def judge_daemon(judgement, stage, watch, attackers):
    status = stage.daemon.call("GetStatus")
    turn = status["longest_turn_usec"]
    judgement.add(watch.problem is None, watch.problem)
    judgement.add(watch.answers > 0, "the daemon was never asked")
    judgement.add(watch.rss <= BUDGET, f"the daemon held {watch.rss / MIB:.0f} MiB")
    for role, budget in (("reader", READER_BUDGET), ("worker", WORKER_BUDGET)):
        held = watch.children[role]
        judgement.add(held <= budget, f"its {role} held {held / MIB:.0f} MiB")
    judgement.add(turn <= TURN_USEC, f"a turn of its loop took {turn / 1000:.1f} ms")
    events = [
        event for event in stage.secret.events()
        if event[0] not in attackers and not is_of_another_daemon(event[0], stage.daemon)
    ]  # fmt: skip
    judgement.add(not events, f"the secret was opened or read: {events}")
    judgement.add(SECRET_NAME not in stage.everything(), "what only root may read was shown")
    return turn


def wait_ready(attack):
    """Until it attacks. It may say `cannot: WHY` instead, where something is missing here."""

    def said():
        for line in list(attack.lines):
            if line.startswith("cannot: "):
                raise pyprof.Skip(line[8:].strip())
            if line.startswith("ready"):
                return True
        return attack.process.poll() is not None

    pyprof.wait_until(said, READY_SECONDS, "the attack to begin")
    attack.wait_for("ready")


def start(stage, row, uid):
    """The attack, started."""
    extra = row.before(stage, uid) if row.before else ()
    groups = stage.groups(uid) if row.group else ()
    arguments = [stage.home(uid), *row.arguments, *(extra or ()), *groups]
    return stage.run_as(
        uid, row.attack, arguments=arguments, limits=row.limits, fuse=row.fuse, groups=groups
    )


def run_rows(stage, rows):
    """Attacks once, by all rows, each with its user, at the same time. Failed with all that was
    wrong; returns the rows that cannot be run here, with the reason."""
    judgement, skipped = Judgement(), {}
    before = stage.daemon.counters()
    watch = Watch(stage.daemon)
    watch.start()
    try:
        with contextlib.ExitStack() as stack:
            attacks = []
            for uid, row in rows:
                try:
                    attacks.append((row, uid, stack.enter_context(start(stage, row, uid))))
                except pyprof.Skip as reason:
                    skipped[row] = reason
            for row, uid, attack in list(attacks):
                try:
                    wait_ready(attack)
                except pyprof.Skip as reason:
                    skipped[row] = reason
                    attacks.remove((row, uid, attack))
            if not attacks:
                return skipped
            seconds = SHORT * max(row.seconds for row, _uid, _attack in attacks)
            samples = judge_bystander(judgement, stage.record(seconds), "during")
            for row, _uid, attack in attacks:
                if row.check:
                    judgement.add_of(row.title, lambda _own, r=row, a=attack: r.check(stage, a))
            judge_counters(judgement, stage, [row for row, _uid, _attack in attacks], before)
            for row, uid, attack in attacks:
                judgement.add_of(row.title, judge_row, stage, row, uid, attack)
        judge_bystander(judgement, stage.record(SHORT * AFTER_SECONDS), "after")
    finally:
        watch.stop()
        for _uid, row in rows:
            if row.after:
                row.after(stage)
    turn = judge_daemon(judgement, stage, watch, {attack.pid for _row, _uid, attack in attacks})
    print(
        f"#: {', '.join(row.title for row, _uid, _attack in attacks)}: {samples} samples, "
        f"turn {turn / 1000:.1f} ms, {watch.rss / MIB:.0f} MiB, "
        f"reader {watch.children['reader'] / MIB:.0f} MiB, "
        f"worker {watch.children['worker'] / MIB:.0f} MiB", flush=True,
    )  # fmt: skip
    judgement.deliver()
    return skipped


def attack_by(stage, rows):
    """run_rows(); a new daemon after a failure, for its longest turn, its memory and what it thinks
    of users are those rows'."""
    try:
        return run_rows(stage, rows)
    except BaseException:
        stage.stop_daemon()
        stage.start_daemon()
        stage.warm_up()
        raise


def run_alone(tap, stage, uid, row):
    def run():
        skipped = attack_by(stage, [(uid, row)])
        if skipped:
            raise skipped[row]

    tap.run(row.title, run)


def run_beside(tap, stage, rows):
    """Rows that attack at the same time; each alone as well if that fails."""
    try:
        skipped = attack_by(stage, rows)
    except Exception as error:
        tap.line(False, f"side by side: {', '.join(row.title for _uid, row in rows)}")
        pyprof.diagnose(error if isinstance(error, Failed) else traceback.format_exc())
        for uid, row in rows:
            run_alone(tap, stage, uid + AGAIN, row)
        return
    for _uid, row in rows:
        tap.line(True, row.title, f" # SKIP {skipped[row]}" if row in skipped else "")


def together(rows):
    """The rows in their order, those in one list that attack at the same time."""
    found, open_ = [], False
    for uid, row in rows:
        beside = row.beside and not pyprof.LONG
        if beside and open_ and len(found[-1]) < BESIDE:
            found[-1].append((uid, row))
        else:
            found.append([(uid, row)])
        open_ = beside
    return found


def main(rows):
    """Runs a table, or the rows whose titles hold an argument's text."""
    tap = pyprof.Tap()
    chosen = [
        (ATTACKERS + number, row) for number, row in enumerate(rows)
        if (pyprof.LONG or not row.long)
        and (not sys.argv[1:] or any(word in row.title for word in sys.argv[1:]))
    ]  # fmt: skip
    try:
        with Stage() as stage:
            for group in together(chosen):
                if len(group) > 1:
                    run_beside(tap, stage, group)
                else:
                    run_alone(tap, stage, *group[0])
    except pyprof.Skip as reason:
        for _uid, row in chosen[tap.count:]:
            tap.line(True, row.title, f" # SKIP {reason}")
    except Failed as error:
        tap.line(False, "starts and stops cleanly")
        pyprof.diagnose(error)
    tap.finish()
