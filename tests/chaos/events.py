# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""Does the steps of a round, each in a thread of its own at its time, and puts
everything right again that it broke and that nobody in a cluster would mend:
cables, frozen processes, a libvirtd without an init system."""
import os
import random
import signal
import threading
import time

import benchlab

PATIENCE = 4  # seconds to wait for a process that is to be killed


class Events:
    def __init__(self, lab, round_, tell):
        self.lab = lab
        self.round = round_
        self.tell = tell  # function(text)
        self.vm = next(m for m in lab.machines if m.name == round_.vm)
        self.began = time.time()
        self.ending = None
        self.lost = []    # (time, node): power lost by our hand
        self.costs = []   # (time, VM's name, why it may be booted anew)
        self.kinds = []   # that really happened
        host = self.vm.where
        x, y = [n for n in lab.nodes if n != host]
        self.names = {"host": host, "x": x, "y": y}
        self.failed = []
        self.frozen = set()

    def run(self):
        threads = [threading.Thread(target=self.do, args=(step,), daemon=True)
                   for step in self.round.steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(400)
            if thread.is_alive():
                self.failed.append("a step does not end")
        self.put_right()

    def do(self, step):
        time.sleep(max(0, self.began + step.at / 1000 - time.time()))
        args = {k: self.names.get(v, v) if isinstance(v, str) else v
                for k, v in step.args.items()}
        name = step.kind.replace("-", "_")
        self.tell(f"{step.kind} " +
                  " ".join(f"{k}={v}" for k, v in args.items()))
        try:
            if getattr(self, name)(**{("for_" if k == "for" else k): v
                                      for k, v in args.items()}) is not False:
                self.kinds.append(step.kind)
        except benchlab.BROKEN as e:
            # With what else is going on that may be: its node is gone.
            self.kinds.append(step.kind)
            self.tell(f"{step.kind}: {str(e)[:200]}")

    def on(self, node, *command, timeout=200):
        """May fail: the node may be dead."""
        return self.lab.on(node, *command, check=False, timeout=timeout)

    def elsewhere(self, *command):
        """On a node that is not likely to be the one in trouble."""
        for node in (self.names["y"], self.names["x"], self.names["host"]):
            if self.lab.init_of(node) and node not in self.frozen:
                return self.on(node, *command)
        return ""

    def put_right(self):
        for vm in self.lab.machines:
            benchlab.wait_until(
                120, "a coordinator", lambda vm=vm: self.lab.order(
                    "crm_resource", "--clear", "-r", vm.name), 0.5)
            if not vm.started:
                self.lab.set_role(vm, True)

    # --- what an administrator may ask for

    def ask_move(self, vm, to):
        self.elsewhere("crm_resource", "--move", "-r", vm, "-N", to)

    def move(self, to):
        self.ask_move(self.vm.name, to)
        self.await_arrival(to)

    def await_arrival(self, to):
        """Not for ever: something may be in its way."""
        end = time.time() + 15
        while time.time() < end and to not in self.lab.locate_now(self.vm):
            time.sleep(0.2)

    def quick_move(self, to):
        self.elsewhere("quickmig", "move", self.vm.name, to, "--yes")

    def cancel(self, to, after):
        thread = threading.Thread(target=self.quick_move, args=(to,),
                                  daemon=True)
        thread.start()
        time.sleep(after / 1000)
        self.elsewhere("quickmig", "cancel", self.vm.name)
        thread.join(200)

    def two_moves(self, to, after):
        self.ask_move(self.vm.name, to)
        time.sleep(after / 1000)
        to = next(n for n in (self.names["x"], self.names["y"]) if n != to)
        self.ask_move(self.vm.name, to)
        self.await_arrival(to)

    def clear(self, to, after):
        self.ask_move(self.vm.name, to)
        time.sleep(after / 1000)
        self.elsewhere("crm_resource", "--clear", "-r", self.vm.name)

    def all_move(self, to):
        for vm in self.lab.machines:
            self.ask_move(vm.name, to)
        self.await_arrival(to)

    def set_standby(self, node, value):
        self.elsewhere("crm_attribute", "--type", "nodes", "--node", node,
                       "--name", "standby", "--update", value)

    def standby(self, node, for_):
        self.set_standby(node, "on")
        time.sleep(for_ / 1000)
        self.set_standby(node, "off")

    def drain(self, node):
        self.elsewhere("quickmig", "drain", node, "--yes")
        self.elsewhere("quickmig", "undrain", node)
        self.set_standby(node, "off")

    def stop_start(self, for_):
        self.lab.set_role(self.vm, False)
        time.sleep(for_ / 1000)
        self.lab.set_role(self.vm, True)

    def restart(self):
        self.elsewhere("crm_resource", "--restart", "-r", self.vm.name,
                       "--timeout=90")
        self.lab.set_role(self.vm, True)

    def leave(self, node, for_):
        boot = self.lab.boot_of(node)
        self.lab.lab("pacemaker", node, "stop", check=False, timeout=380)
        time.sleep(for_ / 1000)
        if self.lab.boot_of(node) == boot and self.lab.init_of(node):
            self.lab.lab("pacemaker", node, "start", check=False)

    def guest_off(self):
        self.costs.append((time.time(), self.vm.name, "it shut itself down"))
        self.on(self.names["host"], "virsh", "-q", "shutdown", self.vm.name,
                "--mode", "acpi", timeout=20)

    def refresh(self):
        self.elsewhere("crm_resource", "--refresh")

    # --- processes

    def wait_for(self, node, pattern):
        end = time.time() + PATIENCE
        while time.time() < end:
            pids = self.lab.processes(node, pattern)
            if pids:
                return pids
            time.sleep(0.03)
        return []

    def signal(self, pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        return bool(pids)

    def still(self, node, pattern, milliseconds, pids=None):
        """They stand still for a while."""
        pids = pids or self.lab.processes(node, pattern)
        self.signal(pids, signal.SIGSTOP)
        time.sleep(milliseconds / 1000)
        # Those that are still the same.
        self.signal(set(pids) & set(self.lab.processes(node, pattern)),
                    signal.SIGCONT)
        return bool(pids)

    AGENT = rb"quickmig/VirtualMachine (start|stop|migrate_to|migrate_from)"
    WORKER = rb"quickmigd --[a-z]"

    def kill_agent(self, node, after):
        if not self.wait_for(node, self.AGENT):
            return False
        time.sleep(after / 1000)
        return self.signal(self.lab.processes(node, self.AGENT),
                           signal.SIGKILL)

    def freeze_agent(self, node, after, for_):
        if not self.wait_for(node, self.AGENT):
            return False
        time.sleep(after / 1000)
        return self.still(node, self.AGENT, for_)

    def kill_daemon(self, node):
        return self.signal(self.lab.processes(node, rb"^\S*quickmigd *$"),
                           signal.SIGKILL)

    def freeze_daemon(self, node, for_):
        return self.still(node, rb"^\S*quickmigd *$", for_)

    def kill_worker(self, node, after):
        if not self.wait_for(node, self.WORKER):
            return False
        time.sleep(after / 1000)
        return self.signal(self.lab.processes(node, self.WORKER),
                           signal.SIGKILL)

    def qemu(self):
        """(node, process ids) of the VM's copies: one is chosen by the
        round's number."""
        pattern = rb"qemu-system.*guest=" + self.vm.name.encode() + b","
        found = [(node, pids) for node in self.lab.nodes
                 if (pids := self.lab.processes(node, pattern))]
        if not found:
            return None, pattern, []
        node, pids = random.Random(self.round.number).choice(found)
        return node, pattern, pids

    def kill_gate(self):
        node, _, _ = self.qemu()
        if not node:
            return False
        gates = self.lab.processes(node, rb"^\S*quickmig-gate")
        return self.signal(gates[self.round.number % len(gates):][:1]
                           if gates else [], signal.SIGKILL)

    def kill_qemu(self):
        _, _, pids = self.qemu()
        self.costs.append((time.time(), self.vm.name, "its QEMU was killed"))
        return self.signal(pids, signal.SIGKILL)

    def freeze_qemu(self, for_):
        node, pattern, pids = self.qemu()
        return bool(pids) and self.still(node, pattern, for_, pids)

    def kill_libvirtd(self, node, for_):
        boot = self.lab.boot_of(node)
        self.lab.lab("libvirtd", node, "kill", check=False)
        time.sleep(for_ / 1000)
        if self.lab.boot_of(node) == boot and self.lab.init_of(node):
            self.lab.lab("libvirtd", node, "start", check=False)

    def freeze_libvirtd(self, node, for_):
        return self.still(node, rb"^\S*libvirtd -d", for_)

    def kill_pacemaker(self, node, what):
        return self.signal(self.lab.processes(
            node, rb"pacemaker-" + what.encode()), signal.SIGKILL)

    def kill_corosync(self, node):
        return self.signal(self.lab.processes(node, rb"^\S*corosync *$"),
                           signal.SIGKILL)

    # --- nodes, cables, storage

    def kill_node(self, node):
        self.lost.append((time.time(), node))
        self.lab.lab("kill", node, check=False)

    def kill_nodes(self, nodes, for_):
        for node in nodes:
            self.kill_node(node)
        time.sleep(for_ / 1000)
        for node in nodes:
            self.lab.lab("start", node, "--no-wait", check=False)

    def kill_others(self, node, for_):
        self.kill_nodes([n for n in self.lab.nodes if n != node], for_)

    def power_cut(self, for_):
        self.kill_nodes(self.lab.nodes, for_)

    def reboot_node(self, node):
        for other in self.lab.nodes:
            if other != node and self.lab.init_of(other):
                self.on(other, "stonith_admin", "--reboot", node,
                        "--timeout=60", timeout=90)
                return

    def freeze_node(self, node, for_):
        boot = self.lab.boot_of(node)
        self.frozen.add(node)
        self.lab.lab("freeze", node, check=False)
        time.sleep(for_ / 1000)
        self.frozen.discard(node)
        if self.lab.boot_of(node) == boot and self.lab.init_of(node):
            self.lab.lab("thaw", node, check=False)

    def cut(self, node, net, way, for_):
        self.lab.lab("cut", node, net, *([] if way == "both" else
                                         [f"--{way}"]))
        time.sleep(for_ / 1000)
        self.lab.lab("heal", node, net)

    def cut_cluster(self, node, way, for_):
        self.cut(node, "cluster", way, for_)

    def cut_storage(self, node, way, for_):
        self.cut(node, "storage", way, for_)

    def cut_all(self, node, way, for_):
        self.cut(node, "all", way, for_)

    def slow_storage(self, node, mbit, for_):
        self.lab.lab("limit", node, f"{mbit}mbit", "storage")
        time.sleep(for_ / 1000)
        self.lab.lab("limit", node, "none", "storage")

    def restart_target(self):
        self.lab.lab("target", "restart")

    def freeze_target(self, for_):
        self.lab.lab("target", "freeze")
        time.sleep(for_ / 1000)
        self.lab.lab("target", "thaw")

    def slow_fencing(self, seconds, for_):
        self.fencing("slow", str(seconds), for_=for_)

    def no_fencing(self, for_):
        self.fencing("fail", for_=for_)

    def fencing(self, *mode, for_):
        self.lab.lab("fencing", *mode)
        time.sleep(for_ / 1000)
        self.lab.lab("fencing", "honest")
