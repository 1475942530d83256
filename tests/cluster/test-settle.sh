#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# A move that is given up before its commit costs the guest nothing: refused
# by the preflight, or its target dies on the way (the cluster's coordinator
# or another node).  The VM runs on where it was, without a stop or a start (if
# the coordinator died: at least without a reboot), is monitored, and nothing
# of the wish is left.  A reason that no constraint
# stands for does not go round in circles: the VM is saved, and restored
# elsewhere.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

# How often was an action of vm1 begun, on all nodes?
begun() { # ACTION
    cat "$QM_LAB_DIR"/nodes/*/log/pacemaker/pacemaker.log |
        grep -c "local execution of $1 operation for vm1" || true
}

wishes() {
    on "$(any_node)" cibadmin --query --local --scope constraints |
        grep -c 'id="cli-' || true
}

qemu_of() { # NODE
    on "$1" pgrep -f 'qemu-system.*guest=vm1,'
}

remember() {
    vm_remember vm1
    STARTS=$(begun start) STOPS=$(begun stop) MOVES=$(begun migrate_to)
    HERE=$(vm_node vm1)
}

settlements() {
    cat "$QM_LAB_DIR"/nodes/*/log/quickmig/*.log | grep -c 'the VM stays: ' ||
        true
}

_settled() { # COUNT
    [[ $(settlements) -gt $1 ]]
}

# As if there had been no move; it is watched, too.
undisturbed() {
    vm_wait_node vm1 "$HERE"
    vm_same_boot vm1
    [[ $(begun start) == "$STARTS" && $(begun stop) == "$STOPS" ]] ||
        die "it was stopped or started"
    [[ $(wishes) == 0 ]] || die "a constraint is left"
    [[ $(vm_record vm1 state) == RUNNING ]] || die "record"
    [[ $(vm_record vm1 owner) == "$HERE" ]] || die "owner"
}

is_monitored() {
    say "QEMU dies: that is noticed"
    VM_BOOT[vm1]=$(guest_boot_id vm1)
    on "$HERE" kill -KILL "$(qemu_of "$HERE")"
    guest_wait_boot vm1 "${VM_BOOT[vm1]}" 60 || die "nobody noticed"
    cluster_idle
}

# The VM's memory as the XML says it: the one thing that the preflight looks
# at, and that can be changed while the VM runs.
set_memory() { # MIB
    local node
    node=$(vm_node vm1)
    on "$node" quickmig vault show vm1 --xml |
        sed "s,<memory[^<]*</memory>,<memory unit='MiB'>$1</memory>," \
            >"$QM_LAB_DIR/shared/vm1.xml"
    on "$node" quickmig vault edit vm1 --no-check \
        --xml "$SHARED/vm1.xml" >/dev/null || die "vault edit"
}

refused_by_the_preflight() {
    local settled force
    say "--- a move that the preflight refuses"
    set_memory 4096
    remember
    for force in "" force; do
        settled=$(settlements)
        # shellcheck disable=SC2086 # nothing, or one word
        on n3 crm resource move vm1 "$(other)" $force >/dev/null 2>&1 ||
            die "crm resource move"
        lab_wait_until 60 _settled "$settled" || die "not settled"
        cluster_idle
        undisturbed
        say "crm resource move ${force:-without force}: undisturbed"
    done
    [[ $(begun migrate_to) == $((MOVES + 2)) ]] || die "it was tried again"
    set_memory 160
    is_monitored
}

is_saving() {
    [[ $(vm_record vm1 state) == SAVING ]]
}

dc() {
    on "$HERE" crmadmin --dc_lookup --quiet 2>/dev/null | awk '{print $NF}'
}

# A node without the VM that is not the coordinator.
other() {
    local node
    for node in n1 n2 n3; do
        if [[ $node != "$HERE" && $node != "$(dc)" ]]; then
            echo "$node"
            return
        fi
    done
}

target_dies() { # the coordinator: yes|no
    local target began
    HERE=$(vm_node vm1)
    target=$(other)
    if [[ $1 == yes && $HERE == "$(dc)" ]]; then
        vm_move vm1 "$target"
        HERE=$target
    fi
    [[ $1 == no ]] || target=$(dc)
    say "--- the target dies in the middle of a move (coordinator: $1)"
    remember
    lab limit "$HERE" 20mbit storage
    on "$HERE" crm resource move vm1 "$target" >/dev/null 2>&1 || die "move"
    lab_wait_until 60 is_saving || die "no move"
    lab kill "$target"
    began=$(now_wall_ms)
    lab_wait_until 30 _fenced "$target" || die "$target was not fenced"
    say "fenced $(($(now_wall_ms) - began)) ms after its death"
    lab start "$target"
    cluster_idle
    lab limit "$HERE" none storage
    if [[ $1 == yes ]]; then
        survived
    else
        undisturbed
        is_monitored
    fi
}

# A node that has nothing to do with the move dies: its VM is started elsewhere,
# and does not wait for the move to end.
bystander_dies() {
    local dead began target
    HERE=$(vm_node vm1)
    dead=$(other)
    for target in n1 n2 n3; do
        [[ $target != "$dead" && $target != "$HERE" ]] && break
    done
    say "--- $dead, with another VM, dies in the middle of a move to $target"
    [[ $(vm_node vm2) == "$dead" ]] || vm_move vm2 "$dead"
    remember
    VM_BOOT[vm2]=$(guest_boot_id vm2)
    lab limit "$HERE" 20mbit storage
    on "$HERE" crm_resource --move -r vm1 -N "$target" >/dev/null 2>&1 ||
        die "move"
    lab_wait_until 60 is_saving || die "no move"
    lab kill "$dead"
    began=$(now_wall_ms)
    guest_wait_boot vm2 "${VM_BOOT[vm2]}" 60 || die "vm2 is not started"
    say "vm2 runs $(($(now_wall_ms) - began)) ms after $dead died"
    lab limit "$HERE" none storage
    lab start "$dead"
    cluster_idle 120
    undisturbed
}

# The new coordinator has not seen the move begin, and may want it stopped and
# started: through its vault, so that it keeps its memory.
survived() {
    vm_same_boot vm1
    [[ $(begun start) -le $((STARTS + 1)) ]] || die "it went in circles"
    [[ $(wishes) == 0 ]] || die "a constraint is left"
}

_fenced() {
    [[ $(fence_count "$1") -gt 0 ]]
}

standby() {
    say "--- standby, and the preflight refuses every move"
    set_memory 4096
    remember
    on n1 crm node standby "$HERE"
    cluster_idle 120
    set_memory 160
    [[ $(vm_node vm1) != "$HERE" && -n $(vm_node vm1) ]] ||
        die "vm1 is on '$(vm_node vm1)'"
    vm_same_boot vm1
    say "$(($(begun migrate_to) - MOVES)) attempts, $(($(begun stop) - STOPS)) \
stops, $(($(begun start) - STARTS)) starts"
    [[ $(begun migrate_to) -le $((MOVES + 2)) ]] || die "it went in circles"
    [[ $(begun start) -eq $((STARTS + 1)) ]] || die "not one start"
    on n1 crm node online "$HERE"
    cluster_idle
}

cluster_up 3
VAULT_SIZE=512M vm_create vm1 lun -- --ip 10.77.0.101
vm_start vm1
refused_by_the_preflight
standby
vm_wait_node vm1 "$(vm_node vm1)"
target_dies no
VAULT_SIZE=512M vm_create vm2 lun -- --ip 10.77.0.102
vm_start vm2
bystander_dies
on n3 crm --force configure delete vm2 >/dev/null 2>&1 || true
target_dies yes
grep -h 'the VM stays\|cannot be settled' \
    "$QM_LAB_DIR"/nodes/*/log/quickmig/*.log | sort
say "ok"
