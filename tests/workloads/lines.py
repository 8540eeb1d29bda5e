# SPDX-License-Identifier: GPL-2.0-only
"""Writes down what the interpreter says of its own code objects, then waits to be read.

For the positions of every code object of the standard library, those around each change of line or
with "all" every one: where the code object is, the position as an interpreter's frame would have it,
the line, the names. CPython 3.8 and later.
The records, in native byte order, are those of tests/unit/test_codes.c (struct truth).

    lines.py FILE [all | third]     prints "ready VERSION", the version in hex, when FILE is written

third: of every third file of the library.
"""

import gc
import os
import struct
import sys
import sysconfig
import types

RECORD = struct.Struct("=QQIIII")
SKIP = {"test", "tests", "idle_test", "lib2to3", "site-packages", "dist-packages", "__pycache__"}

# Names and files of every kind of string, and some that nobody would choose.
ODD = (
    "def caf\xe9():\n\n\n    return 1\n",
    "def \u5b57():\n    return [\u5b57\n            for \u5b57 in (1, 2)]\n",
    "def \U0001d4d0\U00010400():\n    pass\n",
    "class A:\n    def m(self):\n        def inner():\n            yield 1\n        return inner\n",
    "def " + "long_" * 1200 + "():\n    pass\n",
    "if True:\n" + "".join("    x = %d\n\n" % n for n in range(3000)),
    "\n" * 70000 + "def far():\n    return (1 +\n\n\n            2)\n",
    "def f():\n    try:\n        a()\n    except E:\n        b()\n    finally:\n        with c() as d:\n            e()\n",
)
ODD_FILES = ("/odd/caf\xe9.py", "/odd/\u5b57.py", "/odd/\U0001d4d0.py", "/odd/\udcff\udc80.py",
             "/odd/\ud800.py", "/odd/new\nline\x1b[31m.py", "", "x" * 9000)


def raw(text):
    """The bytes that a name is read as: surrogates that stand for bytes are those bytes."""
    return b"".join(
        bytes([ord(c) - 0xDC00]) if "\udc80" <= c <= "\udcff" else c.encode("utf-8", "surrogatepass")
        for c in text
    )


def lines_of(code):
    """The line of every offset, from the interpreter; 0 where there is none."""
    size = len(code.co_code)
    if sys.version_info < (3, 10):
        return [addr2line(code, offset) for offset in range(0, size, 2)]
    lines = [0] * (size // 2)
    for start, end, line in code.co_lines():
        for unit in range(max(start, 0) // 2, min(end, size) // 2):
            lines[unit] = line or 0
    return lines


def addr2line(code, offset):
    import ctypes

    call = ctypes.pythonapi.PyCode_Addr2Line
    call.argtypes = (ctypes.py_object, ctypes.c_int)
    call.restype = ctypes.c_int
    return call(code, offset)


def library():
    top = sysconfig.get_paths()["stdlib"]
    for where, directories, files in os.walk(top):
        directories[:] = sorted(d for d in directories if d not in SKIP)
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(where, name)


def nested(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested(constant)


def all_codes(step):
    for path in list(library())[::step]:
        with open(path, "rb") as source:
            try:
                yield from nested(compile(source.read(), path, "exec", dont_inherit=True))
            except (SyntaxError, ValueError):
                pass
    for number, source in enumerate(ODD):
        for file in ODD_FILES if number < 4 else ODD_FILES[:1]:
            try:
                yield from nested(compile(source, file, "exec", dont_inherit=True))
            except UnicodeEncodeError:  # compile() wants file names that the file system can have
                code = compile(source, "odd", "exec", dont_inherit=True)
                yield from nested(code.replace(co_filename=file))
    # What the interpreter came with: frozen modules, and what has run already.
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType):
            yield thing.__code__


def chosen(lines):
    """Units of the code to look at."""
    last = len(lines) - 1
    for unit, line in enumerate(lines):
        if unit in (0, last) or line != lines[unit - 1] or line != lines[unit + 1]:
            yield unit


def main():
    start = types.CodeType.__basicsize__  # the instructions follow at once, from 3.11 on
    address = sys.version_info >= (3, 11)
    scale = 2 if sys.version_info[:2] == (3, 10) else 1
    first = {(3, 11): -2, (3, 12): -2}.get(sys.version_info[:2], 0 if address else -1)
    every = sys.argv[2:] == ["all"]
    step = 3 if sys.argv[2:] == ["third"] else 1
    codes = {id(code): code for code in list(all_codes(step))}
    with open(sys.argv[1], "wb") as out:
        for code in codes.values():
            name = raw(code.co_qualname if address else code.co_name)
            file = raw(code.co_filename)
            lines = lines_of(code)
            places = [(2 * u, lines[u]) for u in (range(len(lines)) if every else chosen(lines))]
            if first:
                places.append((first, code.co_firstlineno))
            for offset, line in places:
                where = id(code) + start + offset if address else offset // scale
                out.write(RECORD.pack(id(code), where & (1 << 64) - 1, line,
                                      code.co_firstlineno & 0xFFFFFFFF, len(name), len(file)))
                out.write(name + file)
    print("ready %x" % sys.hexversion, flush=True)
    sys.stdin.read()  # until told to end
    return codes


main()
