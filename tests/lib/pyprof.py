# SPDX-License-Identifier: GPL-2.0-only
"""What the integration, accuracy and bench programs share. Standard library only.

    with Daemon(frequency=19) as daemon:      build/pyprofd on a private socket, stopped and checked
        daemon.ctl("status", "--json")        build/pyprofctl against it
        daemon.call("GetStatus")              the same by bare Varlink
    with Workload(python("3.13"), "nested") as nested:
        nested.wait_ready()                   tests/workloads/nested.py, in its loop
    parse_folded(text)                        [Stack(comm, frames, count)]

    @test("what must hold")                   a TAP line each; run by main()
    def check_it(): expect(1 + 1 == 2, "arithmetic")
"""

import functools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import namedtuple

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
BUILD = os.path.join(ROOT, os.environ.get("BUILD") or "build")
PYPROFD = os.path.join(BUILD, "pyprofd")
PYPROFCTL = os.path.join(BUILD, "pyprofctl")
INTERFACE = "io.pyprof.Profiler"

VERSIONS = ("3.12", "3.13", "3.14", "3.15")

# Also what takes long (`make test-long`).
LONG = bool(os.environ.get("LONG"))

# Generous: a machine that builds something else beside the tests is slow, not broken.
START_SECONDS = 60
STOP_SECONDS = 15
CTL_SECONDS = 120
SETTLE_SECONDS = 60

# A recording is made so often for the samples that a test needs.
RECORDINGS_MAX = 8

# Exit codes of pyprofctl.
DONE, FAILED, USAGE, UNREACHABLE, NOT_PERMITTED, NO_PROCESS, NO_SAMPLES, UNNAMED = range(8)


# ---- TAP -----------------------------------------------------------------------------------------


class Failed(AssertionError):
    """A test's expectation does not hold."""


class Skip(Exception):
    """A test cannot run here; the text says why."""


def expect(condition, message):
    if not condition:
        raise Failed(message)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: {got!r}, not {wanted!r}")


def expect_between(got, low, high, what):
    expect(low <= got <= high, f"{what}: {got}, not within {low} to {high}")


def diagnose(text):
    """Lines for the reader of the log; TAP takes them for comments."""
    for line in str(text).splitlines() or [""]:
        print(f"# {line}", flush=True)


class Tap:
    """Counts and prints TAP lines; safe to use from several threads."""

    def __init__(self):
        self.count = 0
        self.failed = 0
        self.lock = threading.Lock()

    def line(self, good, name, note=""):
        with self.lock:
            self.count += 1
            self.failed += not good
            print(f"{'ok' if good else 'not ok'} {self.count} - {name}{note}", flush=True)

    def run(self, name, function):
        """Runs function() as the test called name."""
        try:
            function()
        except Skip as reason:
            self.line(True, name, f" # SKIP {str(reason).splitlines()[0]}")
        except Failed as error:
            self.line(False, name)
            diagnose(error)
        except Exception:  # a broken test is a failed one; the others still run
            self.line(False, name)
            diagnose(traceback.format_exc())
        else:
            self.line(True, name)

    def finish(self):
        print(f"1..{self.count}", flush=True)
        sys.exit(1 if self.failed else 0)


_tests = []


def test(name):
    """Registers a function as a test, to be run by main() in the order of definition."""

    def register(function):
        _tests.append((name, function))
        return function

    return register


def suite(resource):
    """main() for tests that all use one thing: each is called with it, resource() is a context."""
    tap = Tap()
    chosen = [
        (name, function) for name, function in _tests
        if not sys.argv[1:] or any(word in name for word in sys.argv[1:])
    ]  # fmt: skip
    done = 0
    try:
        with resource() as shared:
            for name, function in chosen:
                tap.run(name, functools.partial(function, shared))
                done += 1
    except Skip as reason:
        for name, _function in chosen[done:]:
            tap.line(True, name, f" # SKIP {reason}")
    except Failed as error:
        tap.line(False, "starts and stops cleanly")
        diagnose(error)
    else:
        tap.line(True, "stops cleanly")
    tap.finish()


def main(before=None):
    """Runs the tests of a program: all, or those whose names contain an argument's text.

    before() may raise Skip, which then goes for every test.
    """
    tap = Tap()
    reason = None
    try:
        if before:
            before()
    except Skip as error:
        reason = error
    for name, function in _tests:
        if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
            continue
        if reason:
            tap.line(True, name, f" # SKIP {reason}")
        else:
            tap.run(name, function)
    tap.finish()


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root: BPF programs are loaded")


def as_nobody(*command, uid=65534):
    """The command, run by a user who owns nothing here. Tests beside this one have the same; a uid
    that no system gives out is one's own."""
    need("setpriv")
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *map(str, command)]


def cpu_seconds(pid):
    """CPU time that a process has used, all its threads, by the scheduler's own account."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as source:
            total += int(source.read().split()[0])
    return total / 1e9


def need(command):
    path = shutil.which(command)
    if not path:
        raise Skip(f"{command} is not installed")
    return path


# ---- Work directories ----------------------------------------------------------------------------


class WorkDir:
    """A private directory that other users may enter, gone at the end."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="pyprof-test-")
        os.chmod(self.path, 0o755)

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        shutil.rmtree(self.path, ignore_errors=True)


def wait_until(condition, seconds, what):
    """Returns condition()'s first true value; Failed if there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


# ---- Folded stacks -------------------------------------------------------------------------------

Stack = namedtuple("Stack", "comm frames count")

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def unescape(text):
    """Undoes the \\xHH of the folded format."""
    raw = _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), text)
    if raw == text:
        return text
    return raw.encode("latin-1", "replace").decode("utf-8", "replace") if raw.isascii() else raw


def parse_folded(text):
    """The stacks of `record -f folded`; Failed on a line that is none."""
    stacks = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"(.+) ([1-9][0-9]*)", line)
        expect(match, f"line {number} is not a folded stack: {line[:200]!r}")
        comm, *frames = (unescape(part) for part in match.group(1).split(";"))
        stacks.append(Stack(comm, tuple(frames), int(match.group(2))))
    return stacks


def samples_of(stacks):
    return sum(stack.count for stack in stacks)


def is_truncated(stack):
    return bool(stack.frames) and stack.frames[0].startswith("[truncated: ")


def python_frames(stack):
    """QUALNAME:FILE of each Python frame, root first."""
    return tuple(frame[4:] for frame in stack.frames if frame.startswith("py::"))


def python_names(stack):
    """QUALNAME of each Python frame, root first."""
    return tuple(frame.split(":", 1)[0] for frame in python_frames(stack))


# ---- Varlink -------------------------------------------------------------------------------------


class Varlink:
    """One connection, bare: what the tests send is what they wrote."""

    def __init__(self, path, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.received = b""
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        self.socket.close()

    def send(self, method, parameters=None, **flags):
        """A call; a method without a dot is one of ours."""
        if "." not in method:
            method = f"{INTERFACE}.{method}"
        call = {"method": method, "parameters": parameters or {}, **flags}
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def receive(self):
        """The next reply, {"parameters", "error", …}; None at the end of the connection."""
        while b"\0" not in self.received:
            data, fds, _flags, _address = socket.recv_fds(self.socket, 1 << 16, 4)
            self.fds += fds
            if not data:
                return None
            self.received += data
        message, self.received = self.received.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, parameters=None):
        """The reply's parameters; Failed on an error reply."""
        self.send(method, parameters)
        reply = self.receive()
        expect(reply is not None, f"{method}: the connection was closed")
        expect("error" not in reply, f"{method}: {reply}")
        return reply["parameters"]


# ---- The daemon ----------------------------------------------------------------------------------


class Daemon:
    """A private daemon. Leaving the context stops it and checks that it went cleanly."""

    def __init__(self, *arguments, frequency=19, env=None, prefix=()):
        """prefix: a command that runs the daemon in the process it was started in."""
        self.work = WorkDir()
        self.socket = self.work / "socket"
        self.command = [
            *prefix, PYPROFD, "--socket", self.socket, "--state-dir", self.work / "state",
            "--frequency", str(frequency), *arguments,
        ]  # fmt: skip
        self.env = {**os.environ, "PYPROF_SOCKET": self.socket, **(env or {})}
        self.process = None

    def __enter__(self):
        need_root()
        if not os.access(PYPROFD, os.X_OK):
            raise Failed(f"{PYPROFD} is not built")
        self.log = open(self.work / "log", "wb")
        self.process = subprocess.Popen(
            self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(self.answers, START_SECONDS, "the daemon's socket")
        except BaseException:
            self.kill()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise Failed(f"the daemon ended with {self.process.returncode}:\n{self.stderr()}")
        try:
            return self.call("GetStatus")
        except OSError:
            return None

    def __exit__(self, kind, *_exception):
        try:
            problem = self.stop()
        finally:
            self.kill()
        if kind is None:
            expect(problem is None, problem)
        elif problem:
            diagnose(problem)

    def stop(self):
        """SIGTERM; says what was not clean about the end, or None."""
        died = self.process.poll()
        if died is not None:
            return f"the daemon ended by itself with {died}:\n{self.stderr()}"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the daemon runs {STOP_SECONDS} s after SIGTERM:\n{self.stderr()}"
        if code != 0:
            return f"the daemon ended with {code} on SIGTERM:\n{self.stderr()}"
        log = self.stderr()
        if re.search(r"ERROR: \w+Sanitizer|runtime error:", log):
            return f"a sanitizer's report:\n{log}"
        if os.path.exists(self.socket):
            return "the socket is left behind"
        return None

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.work.__exit__()

    def stderr(self):
        with open(self.work / "log", encoding="utf-8", errors="replace") as log:
            return log.read()

    def connect(self, timeout=20):
        return Varlink(self.socket, timeout)

    def call(self, method, parameters=None):
        with self.connect() as connection:
            return connection.call(method, parameters)

    def counters(self):
        """Every counter by name."""
        return {counter["name"]: counter["value"] for counter in self.call("GetStatus")["counters"]}

    def popen(self, *arguments, **options):
        """pyprofctl, started."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("env", self.env)
        return subprocess.Popen([PYPROFCTL, *map(str, arguments)], **options)

    def ctl(self, *arguments, code=DONE, timeout=CTL_SECONDS, **options):
        """pyprofctl's CompletedProcess (text); Failed if it ends with another code (None: any)."""
        done = subprocess.run(
            [PYPROFCTL, *map(str, arguments)], env=options.pop("env", self.env),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=timeout, check=False, text=True, errors="replace", **options,
        )  # fmt: skip
        expect(
            code is None or done.returncode == code,
            f"pyprofctl {' '.join(map(str, arguments))}: exit code {done.returncode}, not {code}\n"
            f"{done.stderr[-2000:]}\n{self.stderr()[-2000:]}",
        )
        return done

    def json(self, *arguments):
        return json.loads(self.ctl(*arguments, "--json").stdout)

    def record(self, *arguments, code=DONE, samples=1):
        """The stacks of `pyprofctl record -f folded`, of as many recordings as so many samples take: a
        busy machine gives a program less than a CPU."""
        words = ("record", "-f", "folded", "-o", "-", *arguments)
        stacks = []
        for _ in range(RECORDINGS_MAX):
            stacks += parse_folded(self.ctl(*words, code=code).stdout)
            if samples_of(stacks) >= samples:
                break
        return stacks

    def settled(self, pid, good=lambda stack: not is_truncated(stack), hertz=499):
        """Waits until all of a process's stacks are good: what it maps is read when it is first
        sampled there, and its names come after that."""

        def is_so():
            stacks = self.record("-p", pid, "-d", 0.2, "-F", hertz, code=None)
            return stacks and all(good(stack) for stack in stacks)

        wait_until(is_so, SETTLE_SECONDS, f"process {pid}'s stacks to be whole")


# ---- Pythons and workloads -----------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def python(version):
    """The command prefix that runs CPython VERSION; Skip where it cannot be had.

    A provisioned one sees the checkout and the directory it is started in; its /tmp is its own.
    """
    done = subprocess.run(
        [os.path.join(TESTS, "provision", "python"), version],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
        text=True,
    )  # fmt: skip
    if done.returncode == 77:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise Skip(f"CPython {version}: {lines[-1]}")
    expect(done.returncode == 0, f"provisioning CPython {version}: {done.stderr}")
    return tuple(shlex.split(done.stdout))


def any_python():
    """Some CPython with trampolines."""
    for version in ("3.13", "3.12", "3.14", "3.15"):
        try:
            return python(version)
        except Skip as error:
            reason = error
    raise reason


class Program:
    """A program under test: started in a session of its own, killed whole at the end."""

    def __init__(self, command, env=None, cwd=None, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
            cwd=cwd, start_new_session=True, text=True,
        )  # fmt: skip
        self.pid = self.process.pid
        self.lines = []
        self.errors = []
        self.readers = [
            threading.Thread(target=target.extend, args=(source,), daemon=True)
            for target, source in (
                (self.lines, self.process.stdout), (self.errors, self.process.stderr),
            )
        ]  # fmt: skip
        for reader in self.readers:
            reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def wait_for(self, text, count=1, seconds=START_SECONDS):
        """Waits until the program has printed `count` lines that begin with text."""

        def seen():
            found = [line for line in self.lines if line.startswith(text)]
            if len(found) >= count:
                return found
            if self.process.poll() is not None:
                self.readers[1].join(1)
                errors = "".join(self.errors)
                raise Failed(f"the program ended early: {self.process.returncode}\n{errors}")
            return None

        return wait_until(seen, seconds, f"{count} lines {text!r} of the program")


class Workload(Program):
    """tests/workloads/NAME.py under a Python, by default with its trampolines on by -X perf."""

    def __init__(
        self, python_command, name, *, options=("-X", "perf"), env=None, seconds=600, where
    ):
        """where: a WorkDir that the Python can see; the program is run from a copy in it."""
        script = install_workload(where, name)
        command = [*python_command, *options, script, "--seconds", str(seconds)]
        super().__init__(command, env, cwd=where.path)

    def wait_ready(self, workers=1):
        """The pids of its workers, once all are in their loops."""
        return [int(line.split()[1]) for line in self.wait_for("ready ", workers)]


def install_workload(where, name):
    """Copies a workload into the WorkDir; its path there."""
    for file in ("workload.py", f"{name}.py"):
        target = where / file
        if not os.path.exists(target):
            shutil.copy(os.path.join(TESTS, "workloads", file), target)
    return where / f"{name}.py"
