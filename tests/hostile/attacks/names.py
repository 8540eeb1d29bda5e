# SPDX-License-Identifier: GPL-2.0-only
"""Names that would drive a terminal: the process's, its thread's, its command line's, its
functions', by trampolines or by the interpreter's frames: HOW."""

import ctypes
import os
import sys
import threading

import attack

EVIL = "\x1b]0;own\x07\x9b31m\r\x08\u202e\u2066"

if len(attack.ARGUMENTS) == 1:
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], f"argument-{EVIL}\n{EVIL}"])
libc = ctypes.CDLL(None)
libc.prctl(15, b"\x1b]0;own\x07\x9b[2J\n")
TEXT = "def evil():\n    for _ in range(300000):\n        pass\n"


def run():
    libc.prctl(15, b"\x1b[31m\x07thread")
    number = 0
    while True:
        number += 1
        scope = {}
        code = compile(TEXT, f"file-{EVIL}", "exec")
        inner = code.co_consts[0].replace(co_name=f"f{number}{EVIL}", co_qualname=f"f{number}{EVIL}")
        exec(code.replace(co_consts=(inner, *code.co_consts[1:])), scope)
        scope["evil"]()


if attack.ARGUMENTS[0] == "trampolines":
    attack.activate()
threading.Thread(target=run, daemon=True).start()
attack.ready()
run()
