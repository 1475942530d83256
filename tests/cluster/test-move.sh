#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# Planned moves: crm and pcs, there and back, on a LUN vault and a directory
# vault; standby with two VMs at once.  Same boot, memory intact, disk log
# unbroken; the source's gate is gone, the target's holds the reservation.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

gate_state() {
    on "$1" quickmig status --json "$2" |
        jq -r '.vms[0].gates[0].state // "none"'
}

# After a move from $2 to $3: who may write?
check_gates() {
    [[ $(gate_state "$2" "$1") == none ]] || die "$1: gate left on $2"
    [[ $(gate_state "$3" "$1") == open ]] || die "$1: no open gate on $3"
    [[ $(vm_record "$1" state) == RUNNING ]] || die "$1: record"
    [[ $(vm_record "$1" owner) == "$3" ]] || die "$1: owner"
}

other_node() {
    [[ $1 == n1 ]] && echo n2 || echo n1
}

there_and_back() {
    local name=$1 from to
    from=$(vm_node "$name")
    to=$(other_node "$from")
    vm_remember "$name"
    say "$name: crm resource move $from -> $to"
    vm_move "$name" "$to"
    vm_same_boot "$name"
    check_gates "$name" "$from" "$to"
    say "$name: pcs resource move $to -> $from"
    vm_remember "$name"
    on n3 pcs resource move "$name" "$from" >/dev/null 2>&1 || die "pcs move"
    vm_wait_node "$name" "$from"
    vm_same_boot "$name"
    check_gates "$name" "$to" "$from"
}

# A disk without a gate: the record says RUNNING before the guest does.
file_disk() {
    local to
    to=$(other_node "$(vm_node vm3)")
    vm_remember vm3
    say "vm3: crm resource move, its disk is a file"
    vm_move vm3 "$to"
    vm_same_boot vm3
    on n1 crm resource stop vm3 >/dev/null 2>&1
    cluster_idle
}

standby() {
    local node
    vm_move vm1 n3
    vm_move vm2 n3
    vm_remember vm1
    vm_remember vm2
    say "standby of n3 with two VMs"
    on n1 crm node standby n3
    cluster_idle
    for name in vm1 vm2; do
        node=$(vm_node $name)
        [[ -n $node && $node != n3 ]] || die "$name is on '$node'"
        vm_same_boot $name
    done
    on n1 crm node online n3
    cluster_idle
}

cluster_up 3
vm_create vm1 lun -- --ip 10.77.0.101
vm_create vm2 dir -- --ip 10.77.0.102
vm_start vm1
vm_start vm2
there_and_back vm1
there_and_back vm2
vm_create vm3 file -- --ip 10.77.0.103
vm_start vm3
file_disk
standby
grep -h 'commit:\|resume:\|takeover:' "$QM_LAB_DIR"/nodes/*/log/quickmig/*.log |
    sort | tail -n 24
say "ok"
