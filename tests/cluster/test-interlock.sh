#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# Unsure is not stopped, and never twice: libvirtd killed or hung while the VM
# runs; the agent called by hand on another node behind Pacemaker's back.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

monitor_code() {
    local code=0
    agent "$1" vm1 monitor OCF_RESKEY_CRM_meta_interval=10000 \
        >/dev/null 2>&1 || code=$?
    echo "$code"
}

libvirtd_dies() {
    local node code
    node=$(vm_node vm1)
    vm_remember vm1
    on n3 crm configure property maintenance-mode=true
    say "libvirtd of $node killed"
    lab libvirtd "$node" kill
    code=$(monitor_code "$node")
    [[ $code == 0 || $code == 1 ]] || die "monitor says $code"
    lab libvirtd "$node" start
    lab_wait_until 30 monitor_good "$node" || die "monitor does not recover"
    say "libvirtd of $node hung"
    lab libvirtd "$node" freeze
    code=$(monitor_code "$node")
    lab libvirtd "$node" thaw
    [[ $code == 1 ]] || die "monitor says $code of a hung libvirtd"
    on n3 crm configure property maintenance-mode=false
    cluster_idle
    vm_same_boot vm1
}

monitor_good() {
    [[ $(monitor_code "$1") == 0 ]]
}

by_hand() {
    local node other code=0 generation
    node=$(vm_node vm1)
    other=$([[ $node == n1 ]] && echo n2 || echo n1)
    generation=$(vm_record vm1 generation)
    vm_remember vm1
    say "start by hand on $other while $node runs it"
    agent "$other" vm1 start >"$QM_LAB_DIR/by-hand.log" 2>&1 || code=$?
    [[ $code == 1 ]] || die "start by hand says $code"
    grep -q "not surely gone" "$QM_LAB_DIR/by-hand.log" || die "no reason given"
    code=0
    agent "$other" vm1 migrate_from >/dev/null 2>&1 || code=$?
    [[ $code == 1 ]] || die "migrate_from by hand says $code"
    agent "$other" vm1 stop || die "stop where it does not run must succeed"
    [[ $(vm_record vm1 generation) == "$generation" ]] || die "generation rose"
    vm_same_boot vm1
    [[ $(vm_node vm1) == "$node" ]] || die "it moved"
}

qemu_dies() {
    local node pid
    node=$(vm_node vm1)
    vm_remember vm1
    say "QEMU on $node killed"
    pid=$(on "$node" cat /run/libvirt/qemu/vm1.pid)
    on "$node" kill -9 "$pid"
    vm_other_boot vm1
    cluster_idle
}

# QEMU pauses on the disk that does not answer; the monitor sees it, the stop
# saves what the guest has in flight, the start goes on with it.
gate_dies() {
    local node pid
    node=$(vm_node vm1)
    vm_remember vm1
    say "the gate on $node killed"
    pid=$(on "$node" quickmig status --json vm1 | jq -r '.vms[0].gates[0].pid')
    on "$node" kill -9 "$pid"
    lab_wait_until 30 gate_is_open "$pid" || die "no new gate"
    cluster_idle
    vm_same_boot vm1
}

gate_is_open() {
    on "$(vm_node vm1)" quickmig status --json vm1 | jq -e \
        ".vms[0].gates[0] | .state == \"open\" and .pid != $1"
}

cluster_up 3
vm_create vm1 lun -- --ip 10.77.0.101
vm_start vm1
libvirtd_dies
by_hand
gate_dies
qemu_dies
say "ok"
