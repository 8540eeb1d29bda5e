# SPDX-License-Identifier: GPL-2.0-only
"""A /tmp of one's own: CPython leaves its perf maps there, and those of others that have ended are
taken up by whoever gets their pids."""

import os
import subprocess
import sys

HELPER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "private-mounts")
INSIDE = "--inside-private-tmp"


def enter(program, arguments, kept):
    """Executes the program again in a mount namespace with an empty /tmp, if that has not been done
    yet, and returns the arguments. Directories that are kept are there also if they lie in /tmp."""
    if arguments[:1] != [INSIDE]:
        program = os.path.realpath(program)
        os.execv(HELPER, [HELPER, "/tmp", sys.executable, program, INSIDE, *arguments])
    cache = os.environ.get("PYPROF_CACHE", "")
    _mount(set(kept) | ({os.path.realpath(cache)} if cache else set()))
    return arguments[1:]


def _mount(kept):
    old = os.open("/tmp", os.O_PATH | os.O_DIRECTORY)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp"], check=True)
    for path in sorted(kept):
        if not path.startswith("/tmp/") or os.path.isdir(path):
            continue
        source = f"/proc/self/fd/{old}/{os.path.relpath(path, '/tmp')}"
        if not os.path.isdir(source):
            continue
        os.makedirs(path)
        # As it is: made canonical, the path would lead to the new /tmp.
        subprocess.run(
            ["mount", "--no-canonicalize", "--bind", source, path], check=True, pass_fds=[old]
        )
    os.close(old)
