# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""What is watched all the time in a chaos run: the guests' consoles and the
CPUs of their QEMUs. Says what can never be right, and notes new boots and
repeated ticks, which are right only if something happened that explains them.
"""
import os
import re
import threading
import time

TICK = re.compile(
    rb"TICK boot=([0-9a-f-]{36}) n=(\d+) us=\d+ pass=(\d+) bad=(\d+) "
    rb"dirty=\d+ disk=([\d,]+)")
BOOT = re.compile(rb"BOOT boot=([0-9a-f-]{36}) ")


class Console:
    """All that one VM's copies wrote, in the order in which they wrote it:
    they share the file. feed() takes bytes and the time."""

    def __init__(self, name, complain):
        self.name = name
        self.complain = complain  # function(text)
        self.rest = b""
        self.boots = []      # (time, id), as they first appeared
        self.repeats = []    # (time, ticks): the guest went back
        self.seen = set()
        self.boot = None     # of the last tick
        self.n = 0
        self.passes = 0
        self.synced = []     # told by the guest as synced, per disk
        self.ticks = 0
        self.last_time = None
        self.silences = []   # (end, seconds), of a second and more
        self.disk_errors = 0

    def feed(self, data, now):
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            line = line.rstrip(b"\r")
            if tick := TICK.fullmatch(line):
                self.tick(tick, now)
            elif boot := BOOT.match(line):
                self.booted(boot[1].decode(), now)
            elif line.startswith(b"CORRUPT"):
                self.complain(f"{self.name}: memory is damaged: "
                              f"{line.decode(errors='replace')[:100]}")
            elif line.startswith((b"DISKERR", b"FATAL")):
                self.disk_errors += 1
                self.complain(f"{self.name}: the guest saw an error: "
                              f"{line.decode(errors='replace')[:100]}")

    def booted(self, boot, now):
        if boot in self.seen:
            self.complain(f"{self.name}: boot {boot} began twice")
        self.seen.add(boot)
        self.boots.append((now, boot))
        self.boot, self.n, self.passes = boot, 0, 0

    def tick(self, match, now):
        boot, n = match[1].decode(), int(match[2])
        synced = [int(d) for d in match[5].split(b",")]
        if boot != self.boot:
            if boot in self.seen:
                self.complain(f"{self.name}: two copies at a time: a tick of "
                              f"boot {boot} after boot {self.boot} had begun")
            else:  # its BOOT line was torn by its predecessor's end
                self.booted(boot, now)
            self.boot, self.n = boot, 0
        if n <= self.n:
            self.repeats.append((now, self.n - n + 1))
        if int(match[4]) > 0:
            self.complain(f"{self.name}: memory is damaged: "
                          f"bad={int(match[4])} of boot {boot}")
        if any(a < b for a, b in zip(synced, self.synced)):
            self.complain(f"{self.name}: synced writes were forgotten: "
                          f"{self.synced}, then {synced}")
        if self.last_time is not None and now - self.last_time >= 1:
            self.silences.append((now, now - self.last_time))
        self.n, self.synced, self.passes = n, synced, int(match[3])
        self.last_time = now
        self.ticks += 1


def repeats_explained(repeats, disturbed):
    """A guest that was resumed, and not yet allowed to write, may be restored
    once more when somebody dies just then (decision 0011). Two copies that run
    go back again and again."""
    return not repeats or (disturbed and len(repeats) == 1)


class Overlap:
    """Finds two QEMUs of one VM whose CPUs run at the same time. A handover
    may fall into one sample; four in a row are none."""
    BUSY = 0.002   # seconds of CPU in a sample
    SAMPLES = 4

    def __init__(self):
        self.row = {}  # VM -> samples in a row

    def sample(self, vm, used):
        """used: {pid: CPU seconds since the last sample}"""
        busy = [pid for pid, seconds in used.items() if seconds > self.BUSY]
        self.row[vm] = self.row.get(vm, 0) + 1 if len(busy) > 1 else 0
        return self.row[vm] == self.SAMPLES


class Qemu:
    def __init__(self, pid, vm, node):
        self.pid, self.vm, self.node = pid, vm, node
        self.stat = None  # schedstat of its CPU's thread
        self.cpu = None

    def cpu_seconds(self):
        """Since the last call; None: it is gone, or has no CPU yet."""
        try:
            if self.stat is None:
                for tid in os.listdir(f"/proc/{self.pid}/task"):
                    base = f"/proc/{self.pid}/task/{tid}"
                    with open(f"{base}/comm", encoding="ascii") as f:
                        if f.read().startswith("CPU 0/"):
                            self.stat = open(f"{base}/schedstat", "rb", 0)
                if self.stat is None:
                    return None
            self.stat.seek(0)
            now = int(self.stat.read().split()[0]) / 1e9
        except (OSError, IndexError):
            return None
        before, self.cpu = self.cpu, now
        return None if before is None else now - before


class Watch(threading.Thread):
    """Watches until end(). `violations` is what it has to say."""
    PERIOD = 0.02
    SCAN = 0.3    # looks for new QEMUs

    def __init__(self, lab, vms):
        super().__init__(daemon=True)
        self.lab = lab
        self.vms = vms
        self.violations = []  # (time, text)
        self.consoles = {vm: Console(vm, self.complain) for vm in vms}
        self.files = {vm: open(lab.console(vm), "rb") for vm in vms}
        self.holders = {vm: [] for vm in vms}  # (time, node): whose CPUs ran
        self.qemus = {}
        self.young = {}   # pid -> when it was first seen: it may yet exec
        self.known = set()
        self.overlap = Overlap()
        self.ending = threading.Event()
        self.late = 0.0   # the longest time between two looks

    def complain(self, text):
        # One of a kind will do: a damaged guest says so with every tick.
        if len(self.violations) < 20:
            self.violations.append((time.time(), text))

    def run(self):
        scanned = sampled = last = 0.0
        while not self.ending.wait(self.PERIOD):
            now = time.time()
            if last:
                self.late = max(self.late, now - last)
            last = now
            for vm, console in self.consoles.items():
                data = self.files[vm].read()
                if data:
                    console.feed(data, now)
            if now - scanned > self.SCAN:
                scanned = now
                self.scan(now)
            if now - sampled > 0.05:
                sampled = now
                self.sample(now)

    def end(self):
        self.ending.set()
        self.join()

    def scan(self, now):
        pids = {int(p) for p in os.listdir("/proc") if p.isdigit()}
        for pid in set(self.qemus) - pids:
            del self.qemus[pid]
        self.known &= pids
        self.young = {p: t for p, t in self.young.items() if p in pids}
        for pid in pids - self.known:
            if now - self.young.setdefault(pid, now) > 2:
                self.known.add(pid)
                self.young.pop(pid)
            elif pid not in self.qemus:
                self.look_at(pid)

    def look_at(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read()
            if b"qemu-system" not in line[:64] or \
                    os.fsencode(str(self.lab.dir)) not in line:
                return
            name = re.search(rb"guest=([^,\0]+)", line)
            node = self.lab.node_of(pid)
            if name and node and name[1].decode() in self.vms:
                self.qemus[pid] = Qemu(pid, name[1].decode(), node)
        except OSError:
            pass

    def sample(self, now):
        used = {vm: {} for vm in self.vms}
        for qemu in self.qemus.values():
            seconds = qemu.cpu_seconds()
            if seconds is not None:
                used[qemu.vm][qemu.pid] = seconds
                if seconds > Overlap.BUSY:
                    self.holds(qemu, now)
        for vm in self.vms:
            if self.overlap.sample(vm, used[vm]):
                where = [self.qemus[p].node for p in used[vm]]
                self.complain(f"{vm}: two copies run at a time, on "
                              f"{' and '.join(where)}")

    def holds(self, qemu, now):
        history = self.holders[qemu.vm]
        if not history or history[-1][1] != qemu.node:
            history.append((now, qemu.node))

    def held(self, vm, start, end):
        """Nodes whose QEMU was the last to run the VM at some time then."""
        nodes, history = set(), self.holders[vm]
        for i, (since, node) in enumerate(history):
            until = history[i + 1][0] if i + 1 < len(history) else end
            if since <= end and until >= start:
                nodes.add(node)
        return nodes
