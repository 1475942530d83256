#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# stop and start: saved and restored, on another node too; with
# stop_action=shutdown a clean boot; the whole cluster without power, with the
# VM running and with the VM saved.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

stop_vm() {
    ask_cluster crm resource stop "$1"
    cluster_idle
    [[ $(vm_copies "$1") == 0 ]] || die "$1 still has a domain"
}

start_again() {
    ask_cluster crm resource start "$1"
    cluster_idle
}

stopped_is_saved() {
    local was
    was=$(vm_node vm1)
    vm_remember vm1
    say "stop and start, the same node or another"
    stop_vm vm1
    [[ $(vm_record vm1 state) == SAVED ]] || die "not saved"
    start_again vm1
    vm_same_boot vm1
    was=$(vm_node vm1)
    stop_vm vm1
    on n3 crm node standby "$was"
    start_again vm1
    vm_same_boot vm1
    [[ $(vm_node vm1) != "$was" ]] || die "it is still on $was"
    on n3 crm node online "$was"
    cluster_idle
}

stopped_is_shut_down() {
    say "stop_action=shutdown"
    on n1 crm resource param vm2 set stop_action shutdown >/dev/null
    cluster_idle
    vm_remember vm2
    stop_vm vm2
    [[ $(vm_record vm2 state) == OFF ]] || die "not off"
    grep -aq '^SHUTDOWN' "$(guest_console vm2)" || die "no clean shutdown"
    start_again vm2
    vm_other_boot vm2
}

# Pacemaker stops an orphan without telling its parameters.
deleted_while_running() {
    say "the resource is deleted while it runs"
    guest_wait_ticks vm2 3 60
    on n1 crm --force configure delete vm2 >/dev/null 2>&1 || die "delete"
    cluster_idle
    lab_wait_until 60 vm_is_gone vm2 || die "it still runs"
    [[ $(on n1 quickmig status --json --vault "${VM_VAULT[vm2]}" |
        jq -r '.vms[0].state') == SAVED ]] || die "not saved"
    [[ $(fence_count n1)$(fence_count n2)$(fence_count n3) == 000 ]] ||
        die "a node was fenced"
}

all_off() {
    local n
    say "all nodes without power; vm1 runs, vm2 is saved"
    on n1 crm resource param vm2 set stop_action save >/dev/null
    cluster_idle
    vm_remember vm1
    vm_remember vm2
    stop_vm vm2
    for n in $NODES; do lab kill "$n"; done
    for n in $NODES; do lab start "$n" --no-wait; done
    lab_wait_until 90 cluster_is_back || die "the cluster does not come back"
    start_again vm2
    vm_other_boot vm1
    vm_same_boot vm2
}

cluster_is_back() {
    [[ $(on n1 crm_mon -1 2>/dev/null | grep -c 'Online:.*n1.*n2.*n3') == 1 ]]
}

cluster_up 3
vm_create vm1 lun -- --ip 10.77.0.101
vm_create vm2 lun -- --ip 10.77.0.102
vm_start vm1
vm_start vm2
stopped_is_saved
stopped_is_shut_down
all_off
deleted_while_running
say "ok"
