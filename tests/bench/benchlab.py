# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""The lab (tests/lab) as the benchmark needs it: one cluster whose LUNs and
shared directory are in memory, what is watched in it, and its clocks.

All nodes share one kernel and one clock, so times of different nodes may be
subtracted. Times are seconds since 1970 unless a name says otherwise.
"""
import datetime
import json
import mmap
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

SRC = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QM_BUILD", SRC / "build"))
DEST = pathlib.Path(os.environ.get("QM_DEST", BUILD / "dest"))
LAB = str(SRC / "tests/lab/lab")
SHARED = "/srv/quickmig"  # the shared directory as nodes see it
IDLE = re.compile(r"^(\w+ +\d+ [\d:.]+) .*State transition \S+ -> S_IDLE")
SINK = ("10.77.0.254", 4444)  # at the switch: takes connections, reads nothing
EVENT = re.compile(r"event (\S+) at (\d+\.\d+) for domain '?([^'\s:]+)")


class BenchError(Exception):
    """Something broke: the benchmark ends with exit code 1."""


# What takes its own measurement with it, and no other.
BROKEN = (BenchError, subprocess.SubprocessError, OSError, ValueError,
          KeyError)


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def wait_until(seconds, what, condition, pause=0.05):
    """Polls; the value of the condition, when it is true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise BenchError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)


def warm_memory():
    """Touches half of the free memory, 8 GiB at most. Where a machine is itself
    a guest its host gives it memory on demand, ten times as slowly as its
    kernel does: a host's own memory is there."""
    free = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    size = min(free // 2, 8 << 30) // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(-1, size) as memory:
        memory[::mmap.PAGESIZE] = b"\1" * (size // mmap.PAGESIZE)


def pacemaker_time(stamp, near):
    """Pacemaker's log has no year."""
    year = time.localtime(near).tm_year
    return datetime.datetime.strptime(
        f"{year} {stamp}", "%Y %b %d %H:%M:%S.%f").timestamp()


class Lab:
    def __init__(self, nodes=3, keep=False):
        self.nodes = [f"n{i}" for i in range(1, nodes + 1)]
        self.keep = keep or bool(os.environ.get("QM_LAB_KEEP"))
        # In memory: a fsync costs what it costs a disk array with a safe
        # cache, and not what this machine's disk needs.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="quickmig-lab.",
                                                 dir="/dev/shm"))
        self.dir.chmod(0o755)
        self.env = dict(os.environ, QM_LAB_DIR=str(self.dir))

    def __enter__(self):
        self.lab("up", "--nodes", str(len(self.nodes)), "--overlay", str(DEST))
        for node in self.nodes:
            self.prepare(node)
        self.on("n1", "crm", "configure", "rsc_defaults",
                "resource-stickiness=100")
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and kind is not KeyboardInterrupt:
            self.diagnose()
        if self.keep:
            say(f"lab kept: {self.dir}")
            return
        subprocess.run([LAB, "down", "--purge"], env=self.env, check=False,
                       capture_output=True)

    def lab(self, *args, check=True, timeout=300):
        done = subprocess.run([LAB, *args], env=self.env, check=False,
                              capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise BenchError(f"lab {' '.join(args)}: {done.stderr.strip()} "
                             f"{done.stdout.strip()}")
        return done.stdout.strip()

    def on(self, node, *command, check=True, timeout=300):
        return self.lab("exec", node, *command, check=check, timeout=timeout)

    def spawn(self, node, log, *command):
        """In the background, until the lab's end."""
        with open(log, "ab") as out:
            subprocess.Popen(["setsid", "-f", LAB, "exec", node, *command],
                             env=self.env, stdin=subprocess.DEVNULL,
                             stdout=out, stderr=out).wait()

    def prepare(self, node):
        """libvirtd that listens, for VirtualDomain's live migration,
        quickmig's daemon, and a watch of QEMU's events."""
        self.lab("libvirtd", node, "stop")
        self.on(node, "sh", "-c",
                "printf 'listen_tls = 0\\nlisten_tcp = 1\\n"
                "auth_tcp = \"none\"\\n' >>/etc/libvirt/libvirtd.conf")
        self.on(node, "libvirtd", "-d", "-l", "-p", "/run/libvirtd.pid")
        wait_until(20, f"libvirtd on {node}", lambda: self.on(
            node, "virsh", "-q", "domcapabilities", "--virttype", "qemu",
            "--arch", "x86_64", check=False))
        self.on(node, "quickmigd")
        self.spawn(node, self.event_log(node), "stdbuf", "-oL", "virsh", "-q",
                   "qemu-monitor-event", "--loop", "--event",
                   "STOP|RESUME|MIGRATION", "--regex")

    # --- what was seen

    def event_log(self, node):
        return self.dir / f"nodes/{node}/qemu-events.log"

    def events(self, domain, since):
        """QEMU's own events in order: (time, node, name)."""
        found = []
        for node in self.nodes:
            try:
                text = self.event_log(node).read_text(errors="replace")
            except OSError:
                continue
            for name, when, of in EVENT.findall(text):
                if of == domain and float(when) >= since:
                    found.append((float(when), node, name))
        return sorted(found)

    def idle_times(self, since):
        """When the cluster's coordinator had nothing left to do."""
        found = []
        for node in self.nodes:
            path = self.dir / f"nodes/{node}/log/pacemaker/pacemaker.log"
            try:
                with open(path, errors="replace", encoding="utf-8") as log:
                    for line in log:
                        match = "-> S_IDLE" in line and IDLE.match(line)
                        if match:
                            found.append(pacemaker_time(match[1], since))
            except OSError:
                continue
        return sorted(t for t in found if t >= since)

    def fencing(self, node, event, since):
        """When that was asked of, or done by, the fence device."""
        for line in (self.dir / "fence.log").read_text().splitlines():
            match = re.search(rf" ms=(\d+) event={event} .*node={node} ", line)
            if match and int(match[1]) / 1000 >= since:
                return int(match[1]) / 1000
        return None

    def port_bytes(self, net):
        """Bytes over all cables of that network, as the switch counts them:
        {"in": from the nodes, "out": to the nodes}."""
        total = {}
        for way, counter in (("in", "rx_bytes"), ("out", "tx_bytes")):
            out = self.on("sw", "sh", "-c", f"cat /sys/class/net/n*-{net[0]}"
                          f"/statistics/{counter}")
            total[way] = sum(int(word) for word in out.split())
        return total

    # --- the cluster

    def locate(self, resource):
        out = self.on("n3", "crm_resource", "-r", resource, "--locate",
                      check=False)
        return re.findall(r"is running on: *(\S+)", out)

    def settle(self, seconds=120, node="n3"):
        self.on(node, "crm_resource", "--wait", f"--timeout={seconds}")

    def crm(self, *args, node="n3"):
        return self.on(node, "crm", *args)

    # --- guests

    def qemu(self, node, name, command, **arguments):
        """One command to the guest's QEMU; its answer."""
        out = self.on(node, "virsh", "-q", "qemu-monitor-command", name,
                      json.dumps({"execute": command, "arguments": arguments}))
        return json.loads(out)["return"]

    def open_sink(self):
        """For clean_pages()."""
        self.spawn("sw", self.dir / "sink.errors", "python3", "-c",
                   f"import socket; s = socket.create_server({SINK})\n"
                   "while True: last = s.accept()")

    def migration_is(self, node, name, status):
        return self.qemu(node, name, "query-migrate").get("status") == status

    def clean_pages(self, node, name):
        """A new QEMU takes every page for dirty, and when a save begins QEMU
        7.2 under TCG, with the lab's --live-safe RAM, looks through its whole
        TLB for each of them: the guest stands still for 0.4 s or more, as it
        does nowhere with KVM.  A migration to nobody, cancelled when it has
        begun, has this behind it: only what is written from now on is dirty."""
        self.qemu(node, name, "migrate", uri="tcp:%s:%d" % SINK)
        wait_until(30, f"a migration of {name} to begin",
                   lambda: self.migration_is(node, name, "active"))
        self.qemu(node, name, "migrate_cancel")
        wait_until(30, f"a migration of {name} to be cancelled",
                   lambda: self.migration_is(node, name, "cancelled"))

    def console(self, name):
        return self.dir / f"console/{name}.log"

    def ticks(self, name):
        try:
            return self.console(name).read_bytes().count(b"\nTICK ")
        except OSError:
            return 0

    def wait_ticks(self, name, count, seconds=60):
        goal = self.ticks(name) + count
        wait_until(seconds, f"ticks of {name}",
                   lambda: self.ticks(name) >= goal)

    def last_tick(self, name):
        lines = self.console(name).read_bytes().split(b"\n")
        for line in reversed(lines[:-1]):
            if line.startswith(b"TICK ") and b" disk=" in line:
                return dict(word.split("=", 1)
                            for word in line.decode().split()[1:])
        raise BenchError(f"{name} does not tick")

    def diagnose(self):
        print(self.on("n3", "crm_mon", "-1rf", check=False), file=sys.stderr)
        for path in [*self.dir.glob("nodes/*/log/quickmig/quickmig.log"),
                     *self.dir.glob("nodes/*/log/libvirt/libvirtd.log"),
                     *self.dir.glob("console/*.log")]:
            lines = path.read_text(errors="replace").splitlines()[-15:]
            print(f"--- {path}", *(line[:300] for line in lines), sep="\n",
                  file=sys.stderr)


class PingWatch:
    """Pings from the switch, 1 ms apart, at real-time priority where that is
    allowed: it must not be the one that is late."""

    def __init__(self, lab, address):
        self.lab = lab
        self.log = lab.dir / f"ping.{time.monotonic_ns()}.log"
        tool = str(SRC / "tests/lab/ping-watch")
        realtime = subprocess.run(["chrt", "-f", "5", "true"], check=False,
                                  capture_output=True).returncode == 0
        lab.spawn("sw", lab.dir / "ping.errors",
                  *(["chrt", "-f", "5"] if realtime else []),
                  tool, "watch", address, "1", str(self.log))
        wait_until(10, "the ping watch", self.pid)

    def pid(self):
        return self.lab.on("sw", "pgrep", "-f", f"watch .*{self.log.name}",
                           check=False).split()

    def end(self):
        for pid in self.pid():
            self.lab.on("sw", "kill", pid, check=False)
        self.log.unlink(missing_ok=True)

    def report(self, start, end):
        out = subprocess.run(
            [str(SRC / "tests/lab/ping-watch"), "report", str(self.log),
             "--from", f"{start * 1000:.3f}", "--to", f"{end * 1000:.3f}"],
            check=True, capture_output=True, text=True).stdout
        return json.loads(out)

    def first_reply(self, since):
        with open(self.log, encoding="ascii") as log:
            for line in log:
                words = line.split()
                if words[0] == "reply" and len(words) == 4 and \
                        int(words[2]) / 1e9 >= since:
                    return int(words[2]) / 1e9
        return None

    def replies_since(self, since):
        return self.first_reply(since) is not None


class TickWatch(threading.Thread):
    """When the guest's ticks came out of its serial console: the guest's own
    clock stands still while it is paused."""
    PERIOD = 0.004

    def __init__(self, path):
        super().__init__(daemon=True)
        self.file = open(path, "rb")
        self.file.seek(0, os.SEEK_END)
        self.times = []
        self.ending = threading.Event()
        self.start()

    def run(self):
        rest = b""
        while not self.ending.wait(self.PERIOD):
            new = self.file.read()
            if new:
                rest += new
                lines = rest.split(b"\n")
                rest = lines.pop()
                if any(line.startswith(b"TICK ") for line in lines):
                    self.times.append(time.time())

    def longest(self, start, end):
        inside = [t for t in self.times if start <= t <= end]
        marks = [start, *inside, end]
        return max(b - a for a, b in zip(marks, marks[1:]))

    def end(self):
        self.ending.set()
        self.join()
        self.file.close()
