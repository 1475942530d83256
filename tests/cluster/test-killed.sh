#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 700
#
# Actions that are killed, with their whole process group, at many moments:
# migrate_to in the middle of the save, stop likewise, a start in the middle of
# a restore.  Whatever was cut off, a stop and a start settle it: the guest has
# its memory still.  A start where it runs, but a gate has died, mends that.
# A worker whose image is another's when it may take it leaves nothing behind.
# Pacemaker looks on (maintenance mode).
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

# Runs an action on $1 and kills it after $2 ms.
cut_off() {
    local node=$1 ms=$2
    shift 2
    agent "$node" vm1 "$@" >/dev/null 2>&1 &
    local runner=$!
    lab_wait_until 10 agent_runs "$node" || true
    # shellcheck disable=SC2016 # for the node's shell
    on "$node" sh -c 'sleep "$1"; pkill -KILL -x VirtualMachine' - \
        "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))" || true
    wait "$runner" 2>/dev/null || true
}

agent_runs() {
    on "$1" pgrep -x VirtualMachine
}

must() {
    agent "$@" >"$QM_LAB_DIR/must.log" 2>&1 || {
        cat "$QM_LAB_DIR/must.log"
        die "$* failed"
    }
}

# Afterwards the VM runs on n1, with the boot that it had.
settle() {
    must n2 vm1 stop
    must n1 vm1 stop
    [[ $(vm_copies vm1) == 0 ]] || die "a copy is left"
    [[ $(vm_record vm1 state) == SAVED ]] || die "not saved: $(vm_record vm1 state)"
    must n2 vm1 start
    guest_wait_ticks vm1 3 30 || die "the guest is silent"
    [[ $(guest_boot_id vm1) == "${VM_BOOT[vm1]}" ]] || die "rebooted"
    [[ $(vm_copies vm1) == 1 ]] || die "copies: $(vm_copies vm1)"
    must n2 vm1 migrate_to OCF_RESKEY_CRM_meta_migrate_target=n1
    must n1 vm1 migrate_from
    guest_wait_ticks vm1 3 30 || die "the guest is silent"
}

is_loading() {
    on n2 pgrep -f 'qemu-system.*guest=vm1,' && on n2 pgrep -x quickmig-gate
}

nothing_on_n2() {
    ! on n2 pgrep -f 'qemu-system.*guest=vm1,' &&
        ! on n2 pgrep -x quickmig-gate &&
        ! on n2 pgrep -f 'quickmigd --receive'
}

# As when the VM was started elsewhere just then, and Pacemaker does not call
# the target at all: it is the tombstone here that refuses the image.
worker_comes_too_late() {
    local move
    say "the target's worker comes too late"
    on n2 quickmigd
    lab limit n1 100mbit storage
    agent n1 vm1 migrate_to OCF_RESKEY_CRM_meta_migrate_target=n2 \
        >"$QM_LAB_DIR/must.log" 2>&1 &
    move=$!
    lab_wait_until 30 is_loading || die "no worker"
    # shellcheck disable=SC2016 # for the node's shell
    on n2 sh -c 'cd /run/quickmig/vm/*/ && echo 18446744073709551615 >new &&
        mv new tombstone' || die "tombstone"
    wait "$move" || die "migrate_to: $(<"$QM_LAB_DIR/must.log")"
    lab_wait_until 30 nothing_on_n2 || die "it leaves something behind"
    grep -q "receive of vm1: .*not this worker's any more" \
        "$QM_LAB_DIR/nodes/n2/log/quickmig/quickmig.log" ||
        die "it was refused for another reason"
    [[ -z $(on n2 sh -c 'ls /run/quickmig/vm/*/marker 2>/dev/null') ]] ||
        die "a marker is left"
    lab limit n1 500mbit storage
    must n2 vm1 migrate_from
    vm_same_boot vm1
}

cluster_up 2
vm_create vm1 lun -- --ip 10.77.0.101 --fill 48
vm_start vm1
[[ $(vm_node vm1) == n1 ]] || vm_move vm1 n1
on n1 crm configure property maintenance-mode=true
vm_remember vm1
lab limit n1 500mbit storage
lab limit n2 500mbit storage
for ms in 40 150 700 1600; do
    say "migrate_to killed after $ms ms"
    cut_off n1 $ms migrate_to OCF_RESKEY_CRM_meta_migrate_target=n2
    settle
done
for ms in 100 700; do
    say "stop killed after $ms ms"
    cut_off n1 $ms stop
    settle
done
for ms in 100 900 1800; do
    say "start killed after $ms ms, in the restore"
    must n1 vm1 stop
    cut_off n2 $ms start
    settle
done
say "start where it runs, its gate killed"
on n1 pkill -KILL -x quickmig-gate
must n1 vm1 start
[[ $(on n1 pgrep -c -x quickmig-gate) == 1 ]] || die "no gate"
vm_same_boot vm1
worker_comes_too_late
say "ok"
