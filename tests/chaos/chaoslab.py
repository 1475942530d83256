# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""The lab with its VMs, as a chaos run needs it: what runs where, whether the
cluster is at rest, who was fenced."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import benchlab  # noqa: E402

# Kinds of VMs, in turn: where the vault is, the mode, options of vm-xml.
KINDS = (
    ("live", "lun", "live", ["--live-safe", "--dirty", "4"]),
    ("quick", "lun", "quick", []),
    ("dir", "dir", "auto", []),
)
# As doc/policies.md advises, but for the failure-timeout: a run has no ten
# minutes to wait.
META = ("allow-migrate=true", "migration-threshold=3", "failure-timeout=30s",
        "target-role=Stopped")
RECORD = re.compile(r"(\S+ \S+) \S+ \S+ (\S+): .*record: \S+ -> (\w+),")
LEADING = ("S_IDLE", "S_POLICY_ENGINE", "S_TRANSITION_ENGINE")
GATES = 1  # of a VM: it has one disk


class Machine:
    def __init__(self, number):
        kind, self.vault_kind, self.mode, self.options = \
            KINDS[number % len(KINDS)]
        self.name = f"{kind}{number // len(KINDS) + 1}"
        self.ip = f"10.77.0.{101 + number}"
        self.started = True  # what it was told to be
        self.where = None    # the node, when it was last at rest


class ChaosLab(benchlab.Lab):
    def __init__(self, vms, keep):
        self.nodes = ["n1", "n2", "n3"]
        self.keep = keep or bool(os.environ.get("QM_LAB_KEEP"))
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="quickmig-lab."))
        self.dir.chmod(0o755)
        self.env = dict(os.environ, QM_LAB_DIR=str(self.dir))
        self.machines = [Machine(i) for i in range(vms)]
        self.state = ""  # why the cluster is not at rest

    def __enter__(self):
        try:
            self.set_up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        if self.keep:
            benchlab.say(f"lab kept: {self.dir}")
            return
        subprocess.run([benchlab.LAB, "down", "--purge"], env=self.env,
                       check=False, capture_output=True)

    def set_up(self):
        if not benchlab.DEST.is_dir():
            subprocess.run(["make", "-C", str(benchlab.BUILD), "-s", "install",
                            f"DESTDIR={benchlab.DEST}"], check=True,
                           stdout=subprocess.DEVNULL)
        self.lab("up", "--nodes", "3", "--overlay", str(benchlab.DEST),
                 "--auto-reboot")
        self.configure("rsc_defaults resource-stickiness=100\n"
                       "primitive node ocf:quickmig:Node"
                       " op start timeout=20s interval=0"
                       " op stop timeout=20s interval=0"
                       " op monitor timeout=20s interval=10s\n"
                       "clone node-clone node meta interleave=true")
        self.configure("\n".join(self.create(vm) for vm in self.machines))
        for vm in self.machines:
            self.set_role(vm, True)
        for vm in self.machines:
            self.wait_ticks(vm.name, 5)

    def configure(self, text):
        path = self.dir / "configure"
        path.write_text(text + "\n")
        self.on("n1", "crm", "configure", "load", "update", str(path))

    def create(self, vm):
        """Disk and vault; the configuration of the resource."""
        disk = self.lab("lun", "create", f"{vm.name}-disk", "64M")
        xml = self.dir / f"{vm.name}.xml"
        xml.write_text(self.lab(
            "vm-xml", vm.name, "--disk-url", disk, "--ip", vm.ip, "--memory",
            "96", "--verify", "20", *vm.options))
        if vm.vault_kind == "dir":
            vault = f"{benchlab.SHARED}/{vm.name}"
            self.on("n1", "mkdir", "-p", vault)
        else:
            vault = self.lab("lun", "create", f"{vm.name}-vault", "384M")
        self.on("n1", "quickmig", "vault", "create", vault, "--xml", str(xml))
        return (f"primitive {vm.name} ocf:quickmig:VirtualMachine"
                f" params vault={vault} mode={vm.mode}"
                " op start timeout=180s interval=0"
                " op stop timeout=300s interval=0"
                " op monitor timeout=30s interval=5s"
                " op migrate_to timeout=300s interval=0"
                " op migrate_from timeout=180s interval=0"
                f" meta {' '.join(META)}\n"
                f"order node-before-{vm.name} Optional: node-clone:start"
                f" {vm.name}:start symmetrical=false\n"
                f"order {vm.name}-before-node Mandatory: {vm.name}:stop"
                " node-clone:stop symmetrical=false")

    # --- processes, seen from outside of the nodes

    def init_of(self, node):
        """The node's first process; None: it is off."""
        try:
            pid, start = (self.dir / f"nodes/{node}/pid").read_text().split()
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except (OSError, ValueError):
            return None
        fields = stat.rpartition(") ")[2].split()
        return int(pid) if fields[19] == start and fields[0] != "Z" else None

    def node_of(self, pid):
        try:
            space = os.readlink(f"/proc/{pid}/ns/net")
            for node in self.nodes:
                init = self.init_of(node)
                if init and os.readlink(f"/proc/{init}/ns/net") == space:
                    return node
        except OSError:
            pass
        return None

    def processes(self, node, pattern):
        """Host's process ids of that node's processes, by a regular
        expression for the command line."""
        init, found = self.init_of(node), []
        if init is None:
            return found
        try:
            space = os.readlink(f"/proc/{init}/ns/net")
        except OSError:
            return found
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or int(pid) == init:
                continue
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    line = f.read().replace(b"\0", b" ")
                if line and re.search(pattern, line) and \
                        os.readlink(f"/proc/{pid}/ns/net") == space:
                    found.append(int(pid))
            except OSError:
                continue
        return sorted(found)

    def boot_of(self, node):
        try:
            return (self.dir / f"nodes/{node}/boot_id").read_text().strip()
        except OSError:
            return ""

    # --- the cluster

    def ask(self, *command, timeout=60):
        """Of any node that answers."""
        for node in self.nodes:
            if self.init_of(node) is None:
                continue
            try:
                out = self.on(node, *command, check=False, timeout=timeout)
            except subprocess.TimeoutExpired:
                continue
            if out:
                return out
        return ""

    def says(self, node):
        """What its controller does; crmadmin spins when its node dies."""
        return self.on(node, "timeout", "5", "crmadmin", "-qS", node,
                       check=False)

    def leader(self):
        """The coordinator of the part with quorum: what a node that is about
        to join is told may be forgotten when it has joined."""
        for node in self.nodes:
            if self.init_of(node) and self.says(node) in LEADING \
                    and self.on(node, "crm_node", "-q", check=False) == "1":
                return node
        return None

    def order(self, *command):
        """False: nobody is there to do it."""
        node = self.leader()
        try:
            if node:
                self.on(node, *command, timeout=60)
            return node is not None
        except benchlab.BROKEN:
            return False

    def locate_now(self, vm):
        return re.findall(r"is running on: *(\S+)", self.ask(
            "crm_resource", "-r", vm.name, "--locate"))

    def set_role(self, vm, started):
        vm.started = started
        benchlab.wait_until(90, f"target-role of {vm.name}", lambda:
                            self.order("crm_resource", "-r", vm.name, "--meta",
                                       "-p", "target-role", "-v",
                                       "Started" if started else "Stopped"))

    def fenced(self, since, until):
        """(time, node) of fencings that said that they had been done."""
        found = []
        for line in (self.dir / "fence.log").read_text().splitlines():
            match = re.search(r" ms=(\d+) event=done .*node=(\S+) .*"
                              r"verdict=ok", line)
            if match and since <= int(match[1]) / 1000 <= until:
                found.append((int(match[1]) / 1000, match[2]))
        return found

    def is_saved(self, name, when):
        """Was the VM's memory committed to its vault then, and not yet taken
        from there, as the nodes' logs have it?"""
        last = ("", "")
        for path in self.dir.glob("nodes/*/log/quickmig/quickmig.log"):
            for line in path.read_text(errors="replace").splitlines():
                match = RECORD.match(line)
                if match and match[2] == name and benchlab.datetime.datetime \
                        .fromisoformat(match[1]).timestamp() <= when:
                    last = max(last, (match[1], match[3]))
        return last[1] == "SAVED"

    def is_complete(self):
        for node in self.nodes:
            if self.init_of(node) is None:
                self.state = f"{node} is off"
                return False
            members = self.on(node, "crm_node", "-p", check=False).split()
            if len(members) != len(self.nodes):
                self.state = f"{node} does not see all nodes"
                return False
        return True

    def is_idle(self):
        """Pacemaker has nothing to do, three times in a row."""
        for _ in range(3):
            if not any(self.says(node) == "S_IDLE" for node in self.nodes):
                self.state = "Pacemaker has something to do"
                return False
            time.sleep(0.05)  # what follows may be about to begin
        return True

    def copies(self, vm):
        return [node for node in self.nodes for _ in self.processes(
            node, rb"qemu-system.*guest=" + vm.name.encode() + b",")]

    def is_well(self, vm):
        """It is what it was told to be."""
        copies = self.copies(vm)
        if not vm.started:
            self.state = f"{vm.name} is stopped, but for {copies}"
            return not copies
        if len(copies) != 1:
            self.state = f"copies of {vm.name}: {copies}"
            return False
        vm.where = copies[0]
        status = self.on(vm.where, "quickmig", "status", "--json", vm.name,
                         check=False)
        try:
            record = json.loads(status)["vms"][0]
            text = f"{record['state']} {record['owner']}"
        except (ValueError, KeyError, IndexError):
            text = status
        self.state = f"record of {vm.name}: {text}"
        return text == f"RUNNING {vm.where}"

    def gates_are_right(self):
        for node in self.nodes:
            wanted = GATES * sum(vm.where == node and vm.started
                                 for vm in self.machines)
            found = len(self.processes(node, rb"^\S*quickmig-gate"))
            if found != wanted:
                self.state = f"{found} gates on {node} instead of {wanted}"
                return False
        return True

    def is_at_rest(self):
        return self.is_complete() and self.is_idle() and \
            all(self.is_well(vm) for vm in self.machines) and \
            self.gates_are_right()

    def disk_log(self, vm, synced):
        """What is wrong with the disk log; the guest may be writing it."""
        path = self.lab("lun", "path", f"{vm.name}-disk")
        for _ in range(3):
            done = subprocess.run(
                [str(benchlab.SRC / "tests/lab/disklog"), path, "--min-seq",
                 str(synced)], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return None
            time.sleep(0.2)  # read while it was written?
        return done.stdout.strip() or done.stderr.strip()
