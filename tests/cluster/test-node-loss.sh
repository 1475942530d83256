#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 900
#
# Nodes that die: while the VM runs; in the middle of a save; after the
# commit; the target during the restore.  Those that do not die although fencing
# says so are in test-faults-cluster.sh.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

vault_state() {
    vm_record vm1 state
}

_vault_is() {
    [[ $(vault_state) == "$1" ]]
}

back_up() {
    lab heal "$1" all
    lab start "$1"
    on "$(any_node)" crm_resource --cleanup >/dev/null 2>&1 || true
    cluster_idle
}

# The VM on $1, with links so slow that a save or restore takes seconds.
prepare() {
    local node
    for node in $NODES; do lab limit "$node" none storage; done
    if [[ $(vm_node vm1) != "$1" ]]; then
        vm_move vm1 "$1"
    fi
    guest_wait_ticks vm1 5 60
    vm_remember vm1
}

running_node_dies() {
    local name
    prepare n1
    [[ $(vm_node vm2) == n1 ]] || vm_move vm2 n1
    vm_remember vm2
    say "n1 dies while it runs vm1 (vault on a LUN) and vm2 (in a directory)"
    lab kill n1
    lab_wait_until 60 fence_done n1
    for name in vm1 vm2; do
        vm_other_boot $name
        [[ $(vm_node $name) != n1 ]] || die "$name is still on n1"
        old_nexus_refused n1 $name || die "n1 could still write to $name"
        say "cold boot of $name on $(vm_node $name), n1 is kept out"
    done
    cluster_idle
    back_up n1
    on n3 crm resource stop vm2 >/dev/null 2>&1
    cluster_idle
}

fence_done() {
    [[ $(fence_count "$1") -ge 1 ]]
}

start_move() {
    on n3 crm resource move vm1 "$1" force >/dev/null 2>&1 || die "crm resource move"
}

end_move() {
    ask_cluster crm resource clear vm1
    cluster_idle
}

source_dies_in_save() {
    prepare n1
    lab limit n1 80mbit storage
    say "n1 dies in the middle of a save"
    start_move n2
    lab_wait_until 30 _vault_is SAVING || die "no save seen"
    lab kill n1
    vm_other_boot vm1
    cluster_idle
    end_move
    back_up n1
}

source_dies_after_commit() {
    prepare n1
    lab limit n2 80mbit storage
    say "n1 dies after the commit"
    start_move n2
    lab_wait_until 30 _vault_is SAVED || die "no commit seen"
    lab kill n1
    guest_wait_ticks vm1 5 90 || die "vm1 is silent"
    cluster_idle
    [[ $(vm_node vm1) != n1 ]] || die "still on n1"
    vm_same_boot vm1
    end_move
    back_up n1
}

target_dies_in_restore() {
    prepare n1
    lab limit n2 80mbit storage
    say "n2 dies during the restore"
    start_move n2
    lab_wait_until 30 _vault_is SAVED || die "no commit seen"
    lab_wait_until 30 has_domain n2 || die "no restore seen"
    lab kill n2
    guest_wait_ticks vm1 5 90 || die "vm1 is silent"
    cluster_idle
    [[ $(vm_node vm1) != n2 ]] || die "still on n2"
    vm_same_boot vm1
    end_move
    back_up n2
}

has_domain() {
    grep -qx vm1 <<<"$(on "$1" virsh -q list --all --name)"
}

cluster_up 3
vm_create vm1 lun -- --ip 10.77.0.101 --fill 64
vm_create vm2 dir -- --ip 10.77.0.102
vm_start vm1
vm_start vm2
running_node_dies
source_dies_in_save
source_dies_after_commit
target_dies_in_restore
say "ok"
