#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Containers of the kernel's own means: namespaces, a root file system, control groups.

    with Groups() as groups:
        group = groups.make("v2", f"/system.slice/docker-{ID}.scope")
        with Container(image(python("3.13")), ["/work/x.py"], where=work, groups=[group]) as c:
            c.wait_for("ready")

No engine is needed, and none is imitated but in what the daemon can see: the process is pid 1 of
its namespace, its root is a tmpfs into which a Python and what that needs are mounted (or an
overlayfs over them), /work is a directory of the test's, and /proc/PID/cgroup reads as the engine's
would. Mounts live in a namespace of their own and go with the container; control groups are removed
by Groups, which leaves alone what was there before.

Run as a program, this file is the container's first process: it makes what the specification in
its argument says, innermost last, and becomes the command.
"""

import ctypes
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pyprof

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_RDONLY = 0x1
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
ADDR_NO_RANDOMIZE = 0x0040000
SYS_PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41

# Who root in a container with a user namespace is outside; owns nothing on any machine.
SUBORDINATE = 1_500_000
SUBORDINATES = 65536

# What a root needs of the system that the Python comes from.
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc")

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source, target, kind=None, flags=0, options=None):
    words = [word.encode() if word else None for word in (source, target, kind, options)]
    result = libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    check(result, f"mount {source} on {target}")


def unshare(flags):
    check(libc.unshare(flags), f"unshare {flags:#x}")


# ---- Control groups ------------------------------------------------------------------------------


def mounted(kind, option):
    """Where a control group file system is mounted whose super block has the option, or None."""
    with open("/proc/self/mountinfo", encoding="utf-8") as source:
        for line in source:
            before, after = line.split(" - ")
            if after.split()[0] == kind and option in ("", *after.split()[2].split(",")):
                return before.split()[4]
    return None


class Groups:
    """Control groups under the unified hierarchy ("v2") and under a named one of v1 ("v1").

    A hierarchy that the machine does not have is mounted while this lasts.
    """

    def __init__(self):
        self.work = pyprof.WorkDir()
        self.roots = {}
        self.own = []
        self.made = []

    def __enter__(self):
        self.find("v2", "cgroup2", "", None)
        self.find("v1", "cgroup", "name=systemd", "none,name=pyprof-test")
        return self

    def find(self, version, kind, option, options):
        at = mounted(kind, option)
        if not at:
            at = self.work / version
            os.mkdir(at)
            try:
                mount(kind, at, kind, 0, options)
            except OSError as error:
                self.roots[version] = pyprof.Skip(f"cgroup {version}: {error}")
                return
            self.own.append(at)
        self.roots[version] = at

    def make(self, version, path):
        """The directory of a group, made with those above it; Skip where it cannot be."""
        root = self.roots[version]
        if isinstance(root, pyprof.Skip):
            raise root
        at = root
        for name in path.strip("/").split("/"):
            at = os.path.join(at, name)
            if not os.path.isdir(at):
                os.mkdir(at)
                self.made.append(at)
        return at

    def root(self, version):
        """The group of all that are in no other."""
        return self.make(version, "/") if self.roots.get(version) else None

    def __exit__(self, *_exception):
        for at in reversed(self.made):
            pyprof.wait_until(lambda at=at: remove(at), 60, f"the end of what is in {at}")
        for at in self.own:
            libc.umount2(at.encode(), MNT_DETACH)
        self.work.__exit__()


def remove(group):
    try:
        os.rmdir(group)
    except OSError:  # its processes are ending
        return False
    return True


# ---- Containers ----------------------------------------------------------------------------------


def image(python_command):
    """What a root needs for this Python: {"base", "prefix" or None, "program"}."""
    if len(python_command) == 3:  # tests/provision/enter ROOT PROGRAM
        return {"base": python_command[1], "prefix": None, "program": python_command[2]}
    program = python_command[0]
    prefix = os.path.dirname(os.path.dirname(program))
    inside = prefix == "/usr" or prefix.startswith("/usr/")
    return {"base": "/", "prefix": None if inside else prefix, "program": program}


class Container(pyprof.Program):
    """A container that runs a Python, with trampolines.

    tmp        "private", a directory of the host to mount as /tmp, "absolute" or "relative" (a
               symlink to a private directory elsewhere), or "keep" (the image's own)
    pids       how many PID namespaces deep; 0: that of the host
    user       in a user namespace, its root being SUBORDINATE outside
    overlay    files come through an overlayfs; where the image is a whole system, so does the root
    change     "pivot" the root, or merely "chroot"
    randomize  addresses differ from run to run
    groups     control groups to be in, directories
    """

    def __init__(
        self, image_of, arguments, *, where, groups=(), tmp="private", pids=1, user=False,
        overlay=False, change="pivot", randomize=True,
    ):  # fmt: skip
        root = where / f"root-{os.urandom(4).hex()}"
        os.mkdir(root)
        specification = {
            "image": image_of, "arguments": [str(word) for word in arguments], "root": root,
            "work": where.path, "groups": list(groups), "tmp": tmp, "pids": pids, "user": user,
            "overlay": overlay, "change": change, "randomize": randomize,
        }  # fmt: skip
        super().__init__(["/usr/bin/python3", __file__, json.dumps(specification)])


# ---- Inside --------------------------------------------------------------------------------------


def place(spec, source, target):
    """Mounts a part of the image in the root."""
    os.makedirs(target, mode=0o755, exist_ok=True)
    if spec["overlay"]:
        layer = spec["root"] + "/.layers/" + os.path.basename(source) + os.urandom(2).hex()
        os.makedirs(layer + "/upper")
        os.makedirs(layer + "/work")
        options = f"lowerdir={source},upperdir={layer}/upper,workdir={layer}/work"
        mount("overlay", target, "overlay", 0, options)
    else:
        mount(source, target, None, MS_BIND)
        mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY)


def make_root(spec):
    """The root, as the host's root makes it; returns its path."""
    root, from_image = spec["root"], spec["image"]
    base = from_image["base"]
    mount("root", root, "tmpfs", 0, "mode=755")
    if spec["overlay"] and base != "/":
        os.mkdir(root + "/whole", 0o755)
        place(spec, base, root + "/whole")
        root += "/whole"
    else:
        for name in SYSTEM:
            source = os.path.join(base, name)
            if os.path.islink(source):
                os.symlink(os.readlink(source), f"{root}/{name}")
            elif os.path.isdir(source):
                place(spec, source, f"{root}/{name}")
        if from_image["prefix"]:
            place(spec, from_image["prefix"], root + from_image["prefix"])
    for name in ("proc", "dev", "work", "old", "var/elsewhere/tmp"):
        os.makedirs(f"{root}/{name}", mode=0o755, exist_ok=True)
    for name in ("null", "zero", "random", "urandom"):
        with open(f"{root}/dev/{name}", "a", encoding="ascii"):
            mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
    mount(spec["work"], root + "/work", None, MS_BIND)
    if spec["tmp"] in ("absolute", "relative"):
        target = ("/" if spec["tmp"] == "absolute" else "") + "var/elsewhere/tmp"
        os.symlink(target, root + "/tmp")
        os.chmod(root + "/var/elsewhere/tmp", 0o1777)
    else:
        os.makedirs(root + "/tmp", exist_ok=True)
        os.chmod(root + "/tmp", 0o1777)
    if spec["tmp"].startswith("/"):
        mount(spec["tmp"], root + "/tmp", None, MS_BIND)
    return root


def enter_user_namespace():
    """A child that stays outside writes the mappings, as newuidmap would."""
    ready, wants = os.pipe(), os.pipe()
    pid = os.getpid()
    child = os.fork()
    if not child:
        os.read(wants[0], 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as out:
                out.write(f"0 {SUBORDINATE} {SUBORDINATES}\n")
        os.write(ready[1], b"x")
        os._exit(0)
    os.close(ready[1])
    unshare(CLONE_NEWUSER)
    os.write(wants[1], b"x")
    if not os.read(ready[0], 1):
        raise OSError("the user namespace's mappings could not be written")
    os.waitpid(child, 0)
    for end in (ready[0], *wants):
        os.close(end)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def enter_pid_namespace():
    """Goes on as pid 1 of a new one; the process outside waits for it, and ends as it does."""
    unshare(CLONE_NEWPID)
    child = os.fork()
    if child:
        _pid, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0x7F)


def change_root(spec, root):
    if spec["change"] == "chroot":
        os.chroot(root)
        os.chdir("/work")
        return
    mount(root, root, None, MS_BIND | MS_REC)
    os.chdir(root)
    check(libc.syscall(SYS_PIVOT_ROOT, b".", b"old"), "pivot_root")
    os.chdir("/work")
    check(libc.umount2(b"/old", MNT_DETACH), "umount /old")


def become(spec):
    for group in spec["groups"]:
        with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as out:
            out.write(f"{os.getpid()}\n")
    unshare(CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    root = make_root(spec)
    if spec["user"]:
        enter_user_namespace()
    unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)
    for _ in range(spec["pids"]):
        enter_pid_namespace()
    if spec["pids"]:
        mount("proc", root + "/proc", "proc")
    else:
        mount("/proc", root + "/proc", None, MS_BIND | MS_REC)
    if spec["tmp"] == "private":
        mount("tmp", root + "/tmp", "tmpfs", 0, "mode=1777")
    change_root(spec, root)
    if not spec["randomize"]:
        check(libc.personality(ADDR_NO_RANDOMIZE), "personality")
    program = spec["image"]["program"]
    os.execv(program, [program, "-X", "perf", *spec["arguments"]])


if __name__ == "__main__":
    become(json.loads(sys.argv[1]))
