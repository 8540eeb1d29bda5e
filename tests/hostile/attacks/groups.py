# SPDX-License-Identifier: GPL-2.0-only
"""Control groups whose names would drive a terminal, or say that they are what they are not: GROUP...

A child runs in each. A group belongs to the attacker, who may make others in it.
"""

import os
import signal
import sys

GROUPS = sys.argv[2:]
ID = b"ab" * 32
NAMES = (
    b"docker-" + ID + b".scope",
    b"kubepods.slice/kubepods-pod12345678_1234_1234_1234_123456789abc.slice/cri-containerd-"
    + ID + b".scope",
    b"docker/" + ID[:63] + b"\xff",
    b"own\x1b]0;own\x07\x1b[2J.service",
    b"own\xff\xfe\x9b31m.slice/own\r\x08.service",
    "own\u202e\u2066.slice/own\u2028.scope".encode(),
    b"lxc/own\x1b[31m\xff",
    b"lxc.payload.own\x1b[2J",
    b"machine.slice/machine-own\\x1b\x1b]0;own\x07.scope",
    b"own:0::/docker/" + ID,
    b"o" * 240 + b".service",
    b"own.slice/" + b"/".join([b"\x1b[31m\xff" * 40] * 19),
)  # fmt: skip


def enter(group, path):
    """Makes the group, whose path may be longer than a path may be, and enters it."""
    fd = os.open(group, os.O_RDONLY)
    for name in path.split(b"/"):
        if name not in [os.fsencode(entry) for entry in os.listdir(fd)]:
            os.mkdir(name, dir_fd=fd)
        fd = os.open(name, os.O_RDONLY, dir_fd=fd)
    with os.fdopen(os.open("cgroup.procs", os.O_WRONLY, dir_fd=fd), "w") as out:
        out.write("0")


def run(path):
    pid = os.fork()
    if pid:
        print(f"child {pid}", flush=True)
        return
    entered = 0
    for group in GROUPS:
        try:
            enter(group, path)
            entered += 1
        except OSError as error:
            print(f"{path[:80]}: {error}", file=sys.stderr, flush=True)
    if not entered:
        os.kill(os.getppid(), signal.SIGTERM)
    while True:
        pass


os.nice(19)
for name in NAMES:
    run(name)
print("ready", flush=True)
while True:
    os.wait()
