# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""The ways to have a VM in the cluster that are compared: each defines the
same guest as a resource, and says where its bytes go.
"""
import os
import subprocess

import gluster
from benchlab import DEST, SHARED, BenchError, wait_until

IP = "10.77.0.101"
MAC = "52:54:00:be:00:01"
TICK_MS = 20
MEMORY = 1024  # MiB
OPERATIONS = ["op", "start", "timeout=180s", "interval=0",
              "op", "stop", "timeout=300s", "interval=0",
              "op", "monitor", "timeout=60s", "interval=10s",
              "op", "migrate_to", "timeout=300s", "interval=0",
              "op", "migrate_from", "timeout=180s", "interval=0"]


class Peer:
    """One VM, called like its peer. ip=None: no network interface."""
    key = label = ""
    net = "storage"  # the network that its bytes go through

    def __init__(self, lab, name=None, ip=IP, mac=MAC, memory=MEMORY, fill=16,
                 dirty=0, verify=30):
        self.lab, self.name = lab, name or self.key.replace("_", "-")
        self.ip, self.memory, self.fill = ip, memory, fill
        self.guest = ["--memory", str(memory), "--fill", str(fill),
                      "--dirty", str(dirty), "--verify", str(verify),
                      "--tick", str(TICK_MS), "--live-safe",
                      *(["--ip", ip, "--mac", mac] if ip else [])]

    def xml(self, *disk):
        path = self.lab.dir / f"shared/{self.name}.xml"
        path.write_text(self.lab.lab("vm-xml", self.name, *disk, *self.guest))
        return f"{SHARED}/{self.name}.xml"

    def primitive(self, agent, params, meta):
        self.lab.crm("configure", "primitive", self.name, agent,
                     "params", *params, *OPERATIONS,
                     "meta", "target-role=Stopped", *meta)

    def start(self, node=None):
        """Up, with its memory filled, ticking."""
        if node:
            self.lab.crm("configure", "location", f"at-{self.name}",
                         self.name, "50:", node)
        self.lab.crm("resource", "start", self.name)
        self.wait_ready()

    def wait_ready(self):
        wait_until(120, f"{self.name} to be ready", lambda: self.console_has(
            b"READY boot="))
        self.lab.wait_ticks(self.name, 20)
        self.lab.settle()

    def console_has(self, text):
        try:
            return text in self.lab.console(self.name).read_bytes()
        except OSError:
            return False

    def node(self):
        where = self.lab.locate(self.name)
        if len(where) != 1:
            raise BenchError(f"{self.name} runs on {where}")
        return where[0]

    def remove(self):
        """Off, at once, and forgotten."""
        node = self.node()
        self.lab.crm("configure", "property", "maintenance-mode=true")
        self.lab.on(node, "virsh", "-q", "destroy", self.name)
        self.lab.crm("--force", "configure", "delete", self.name)
        self.clean(node)
        for n in self.lab.nodes:
            self.lab.on(n, "crm_resource", "--refresh", check=False)
        self.lab.crm("configure", "property", "maintenance-mode=false")
        self.lab.settle()

    def clean(self, node):
        pass


class VirtualDomain(Peer):
    agent = "ocf:heartbeat:VirtualDomain"
    params = []
    meta = ["allow-migrate=true"]

    def define(self):
        self.disk = self.lab.dir / f"shared/{self.name}.img"
        subprocess.run(["truncate", "-s", "64M", self.disk], check=True)
        os.chmod(self.disk, 0o666)
        os.chmod(self.disk.parent, 0o777)
        config = self.xml("--disk-file", f"{SHARED}/{self.name}.img")
        self.primitive(self.agent, [f"config={config}",
                                    "hypervisor=qemu:///system",
                                    *self.params], self.meta)

    def clean(self, node):
        self.disk.unlink(missing_ok=True)


class VirtualDomainSnapshot(VirtualDomain):
    key = "virtualdomain_snapshot"
    label = "VirtualDomain snapshot"
    params = [f"snapshot={gluster.MOUNT}"]
    meta = []


class VirtualDomainLive(VirtualDomain):
    key = "virtualdomain_live"
    label = "VirtualDomain live"
    net = "cluster"
    # libvirt does not know that the directory is shared: --unsafe.
    params = ["migration_transport=tcp", "migrate_options=--unsafe"]


class Quickmig(Peer):
    agent = "ocf:quickmig:VirtualMachine"
    params = []

    def define(self):
        disk = self.lab.lab("lun", "create", f"{self.name}-disk", "64M")
        self.vault = self.lab.lab("lun", "create", f"{self.name}-vault",
                                  f"{3 * self.memory + 256}M")
        config = self.xml("--disk-url", disk)
        self.lab.on("n1", "quickmig", "vault", "create", self.vault,
                    "--xml", config)
        self.primitive(self.agent, [f"vault={self.vault}", *self.params],
                       ["allow-migrate=true"])

    def clean(self, node):
        # Its gates end with their QEMU; the LUNs must not be in use.
        for disk in ("disk", "vault"):
            self.lab.lab("lun", "delete", f"{self.name}-{disk}")


class QuickmigQuick(Quickmig):
    key = "quick"
    label = "quickmig quick"


class QuickmigLive(Quickmig):
    key = "live"
    label = "quickmig live"
    params = ["mode=live"]


def has_mode():
    """Does the agent that is installed know live moves?"""
    agent = DEST / "usr/lib/ocf/resource.d/quickmig/VirtualMachine"
    lib = DEST / "usr/lib/x86_64-linux-gnu"
    out = subprocess.run([agent, "meta-data"], capture_output=True, text=True,
                         env=dict(os.environ, LD_LIBRARY_PATH=str(lib)),
                         check=False).stdout
    return 'name="mode"' in out


def all_peers():
    if has_mode():
        QuickmigQuick.params = ["mode=quick"]
        return [VirtualDomainSnapshot, VirtualDomainLive, QuickmigQuick,
                QuickmigLive]
    return [VirtualDomainSnapshot, VirtualDomainLive, QuickmigQuick]
