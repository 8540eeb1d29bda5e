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
of those (or the beginning of one). Two things setprofile cannot see, and sys.monitoring tells:

 - Calling a generator function (or coroutine function) runs its frame as far as RETURN_GENERATOR,
   which makes the generator, right under the caller; the "call" event belongs to what comes after.
   So the callee under its caller is a true stack, and nothing under that is.
   Before 3.11 the generator is made without running its frame; in 3.11 there is no sys.monitoring
   to tell, and every such function that the caller's code names may be the one.
 - CPython 3.13 alone, once a call of a plain class is specialised, runs its __init__ in the
   caller's evaluation loop even where PEP 523 is in force (3.12 has no such instruction, 3.14
   leaves it): no trampoline. The stacks whose last frame is such an __init__ are told apart.

    NAME.py [--seconds S]        run; each worker prints "ready PID" when it enters its loop
    NAME.py --truth DIRECTORY    print {"tree", "workers", "inlines", "qualified"} as JSON, record
                                 stacks there
qualified: frames have qualified names, which they do from 3.11 on.
"""

import dis
import gc
import inspect
import json
import os
import shutil
import sys
import threading
import time
import types

# Turns recorded. More than one: lazily imported modules and warm caches change later turns' stacks;
# more than a few: CPython specialises bytecode after some rounds.
RECORDED_TURNS = 40

# Handed to children by the environment: they are started with other arguments than ours.
ENV_TRUTH = "PYPROF_WORKLOAD_TRUTH"
ENV_SECONDS = "PYPROF_WORKLOAD_SECONDS"

# A directory to keep perf_jit's dump in: its own place, /tmp, may be gone with the process.
ENV_KEEP = "PYPROF_WORKLOAD_KEEP"

# Finalisers run where a cycle happens to be collected: stacks that nobody could know.
gc.disable()


QUALIFIED = hasattr(types.CodeType, "co_qualname")
TOOL = sys.monitoring.PROFILER_ID if hasattr(sys, "monitoring") else None
CALL = dis.opmap.get("CALL")
CALL_EX = dis.opmap["CALL_FUNCTION_EX"]
UNTOLD = sys.version_info[:2] == (3, 11)  # there is no sys.monitoring yet
CALL_EX_UNTOLD = sys.version_info[:2] == (3, 12)  # there sys.monitoring is silent about it
LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS

recorders = {}  # the Recorder that is on, by thread


def name_of(code):
    return code.co_qualname if QUALIFIED else code.co_name


def chain_of(frame):
    """QUALNAME:FILE of each frame, root first."""
    chain = []
    while frame is not None:
        code = frame.f_code
        chain.append(f"{name_of(code)}:{code.co_filename}")
        frame = frame.f_back
    chain.reverse()
    return chain


def inlined(code, offset, function):
    """The __init__ that a specialised CALL of this class enters by itself, or None."""
    if type(function) is not type or function.__new__ is not object.__new__:
        return None
    init = function.__init__
    if not isinstance(init, types.FunctionType) or code.co_code[offset] != CALL:
        return None
    callee = init.__code__
    if callee.co_flags & VARIADIC or callee.co_kwonlyargcount:
        return None
    return callee if callee.co_argcount == code.co_code[offset + 1] + 1 else None


def called(code, offset, function, _argument):
    """A call is about to be made. Calls of this file are not looked at: they may be our own."""
    recorder = None if code.co_filename == __file__ else recorders.get(threading.get_ident())
    if not recorder:
        return
    if isinstance(function, types.MethodType):
        function = function.__func__
    if isinstance(function, types.FunctionType) and function.__code__.co_flags & LAZY:
        callee, chains = function.__code__, recorder.chains
    else:
        callee, chains = inlined(code, offset, function), recorder.inits
    if callee:
        chain = chain_of(sys._getframe(1))
        chains.add((*chain, f"{name_of(callee)}:{callee.co_filename}"))


def handed(frame):
    """The generator functions among a new frame's arguments, if it may call them by `f(*args)`."""
    code = frame.f_code
    if not code.co_flags & inspect.CO_OPTIMIZED or CALL_EX not in code.co_code[::2]:
        return []
    functions = [v for v in frame.f_locals.values() if isinstance(v, types.FunctionType)]
    return [function.__code__ for function in functions if function.__code__.co_flags & LAZY]


def lazy_functions():
    """The code of every generator function and such, by name."""
    found = {}
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and thing.__code__.co_flags & LAZY:
            found.setdefault(thing.__name__, []).append(thing.__code__)
    return found


def named(frame, functions):
    """The generator functions that a new frame may call by a name, or has at hand."""
    values = [v for v in frame.f_locals.values() if isinstance(v, types.FunctionType)]
    at_hand = [value.__code__ for value in values if value.__code__.co_flags & LAZY]
    return at_hand + [c for name in frame.f_code.co_names for c in functions.get(name, ())]


OWN = (chain_of.__code__, inlined.__code__, called.__code__)


class Recorder:
    """Every stack that this thread has while it is on; nothing unless truth is asked for."""

    def __init__(self):
        self.directory = os.environ.get(ENV_TRUTH)
        self.chains = set()
        self.inits = set()
        self.lazy = lazy_functions() if self.directory and UNTOLD else {}

    def seen(self, frame, event, _argument):
        if event != "call" or frame.f_code in OWN:
            return
        chain = tuple(chain_of(frame))
        self.chains.add(chain)
        if UNTOLD:
            callees = named(frame, self.lazy)
        else:
            callees = handed(frame) if CALL_EX_UNTOLD else ()
        for callee in callees:
            self.chains.add((*chain, f"{name_of(callee)}:{callee.co_filename}"))

    def __enter__(self):
        if not self.directory:
            return self
        recorders[threading.get_ident()] = self
        if TOOL is not None and not sys.monitoring.get_tool(TOOL):
            sys.monitoring.use_tool_id(TOOL, "workload")
            sys.monitoring.register_callback(TOOL, sys.monitoring.events.CALL, called)
            sys.monitoring.set_events(TOOL, sys.monitoring.events.CALL)
        outer = sys._getframe(1) if UNTOLD else None
        while outer:  # entered before, and calling all the same
            self.seen(outer, "call", None)
            outer = outer.f_back
        sys.setprofile(self.seen)
        return self

    def __exit__(self, *_exception):
        if not self.directory:
            return
        sys.setprofile(None)
        del recorders[threading.get_ident()]
        name = f"{os.getpid()}.{threading.get_ident()}.{time.monotonic_ns()}.json"
        with open(os.path.join(self.directory, name), "w", encoding="utf-8") as out:
            json.dump({"chains": sorted(self.chains), "inits": sorted(self.inits)}, out)


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
        inlines = sys.version_info[:2] == (3, 13)
        told = {"tree": tree, "workers": workers, "inlines": inlines, "qualified": QUALIFIED}
        print(json.dumps(told))
        return
    if arguments[:1] == ["--seconds"]:
        os.environ[ENV_SECONDS] = arguments[1]
    main()
    keep = os.environ.get(ENV_KEEP)
    if keep:
        shutil.copy(f"/tmp/jit-{os.getpid()}.dump", keep)
