#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# A stop that meets trouble ends within its time and leaves nothing that runs:
# storage that goes away in the middle of the save, a QEMU that hangs, a guest
# that shuts down by itself just then, an XML that cannot be read.  A monitor
# outlives a restart of libvirtd and storage that is away.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

log_lines() { # REGEX
    grep -Ec "$1" "$QM_LAB_DIR/nodes/n1/log/quickmig/quickmig.log" || true
}

has_logged() { # REGEX COUNT
    [[ $(log_lines "$1") -gt $2 ]]
}

start_vm() { # NODE
    agent "$1" vm1 start 2>"$QM_LAB_DIR/out" ||
        die "start on $1: $(<"$QM_LAB_DIR/out")"
    guest_wait_ticks vm1 5 60 || die "vm1 does not tick"
}

# Within 60 s, whatever happens.
stopped() {
    local began
    began=$(now_wall_ms)
    agent n1 vm1 stop 2>"$QM_LAB_DIR/out" ||
        die "stop: $(<"$QM_LAB_DIR/out")"
    say "stop took $(($(now_wall_ms) - began)) ms"
    [[ $(($(now_wall_ms) - began)) -lt 60000 ]] || die "stop took too long"
    is_gone || die "there is a domain or a gate left"
}

is_gone() {
    vm_is_gone vm1 && [[ -z $(on n1 pgrep quickmig-gate) ]]
}

qemu_of_vm1() {
    on n1 pgrep -f 'qemu-system.*guest=vm1,'
}

record() {
    on n2 quickmig status --json --vault "${VM_VAULT[vm1]}" |
        jq -r ".vms[0].$1"
}

storage_goes_away() {
    local began stop saves
    say "--- storage goes away in the middle of the save"
    start_vm n1
    VM_BOOT[vm1]=$(guest_boot_id vm1)
    saves=$(log_lines 'suspend: guest paused')
    lab limit n1 20mbit storage
    began=$(now_wall_ms)
    agent n1 vm1 stop 2>"$QM_LAB_DIR/out" &
    stop=$!
    lab_wait_until 20 has_logged 'suspend: guest paused' "$saves" ||
        die "no save"
    lab cut n1 storage
    wait "$stop" || die "stop: $(<"$QM_LAB_DIR/out")"
    say "stop took $(($(now_wall_ms) - began)) ms"
    [[ $(($(now_wall_ms) - began)) -lt 60000 ]] || die "stop took too long"
    is_gone || die "there is a domain or a gate left"
    [[ $(record state) == SAVING ]] || die "the record is $(record state)"
    lab limit n1 none storage
    lab heal n1 storage
    # Its word that it has released the VM is enough for another node.
    start_vm n2
    guest_wait_boot vm1 "${VM_BOOT[vm1]}" 60 || die "no cold boot on n2"
    agent n2 vm1 stop 2>/dev/null || die "stop on n2"
}

qemu_hangs() {
    say "--- QEMU hangs"
    start_vm n1
    on n1 kill -STOP "$(qemu_of_vm1)"
    stopped
    [[ $(record state) == OFF ]] || die "the record is $(record state)"
}

guest_shuts_down() {
    say "--- the guest shuts down by itself"
    start_vm n1
    on n1 virsh -q shutdown vm1 --mode acpi
    stopped
    case $(record state) in
    OFF) ;;
    # The save was faster: the saved guest goes on with its shutdown.
    SAVED) shut_down_after_restore ;;
    *) die "the record is $(record state)" ;;
    esac
}

shut_down_after_restore() {
    agent n1 vm1 start 2>/dev/null || die "restore of a guest that shuts down"
    lab_wait_until 60 vm_is_gone vm1 || die "the restored guest does not shut down"
    stopped
    [[ $(record state) == OFF ]] || die "the record is $(record state)"
}

# Without its gate in the XML it would be left behind.
gate_is_not_in_the_xml() {
    local dir=$QM_LAB_DIR/shared/vm2 url
    say "--- the XML cannot be read any more"
    agent n1 vm2 start 2>/dev/null || die "start of vm2"
    for file in "$dir"/domain.xml.*; do
        echo damaged >"$file"
    done
    agent n1 vm2 stop 2>"$QM_LAB_DIR/out" ||
        die "stop of vm2: $(<"$QM_LAB_DIR/out")"
    [[ $(vm_copies vm2) == 0 ]] || die "vm2 still runs"
    is_gone || die "a gate is left"
}

# "monitor": starts one in the background; "monitored": it says: runs.
monitor() {
    agent n1 vm1 monitor OCF_RESKEY_CRM_meta_interval=10000 \
        2>"$QM_LAB_DIR/out" &
    MONITOR=$!
}

monitored() {
    wait "$MONITOR" || die "monitor: $(<"$QM_LAB_DIR/out")"
}

monitor_is_patient() {
    local pid
    say "--- libvirtd is restarted, storage is away: the VM runs on"
    start_vm n1
    pid=$(qemu_of_vm1)
    lab libvirtd n1 kill
    monitor
    lab_wait_until 10 grep -q 'trying again' "$QM_LAB_DIR/out" ||
        die "the monitor does not wait"
    lab libvirtd n1 start
    monitored
    lab cut n1 storage
    monitor
    monitored
    grep -q 'the VM runs on' "$QM_LAB_DIR/out" || die "who said that it runs?"
    lab heal n1 storage
    monitor
    monitored
    guest_wait_ticks vm1 5 60 || die "vm1 does not tick"
    [[ $(qemu_of_vm1) == "$pid" ]] || die "another QEMU"
    stopped
    [[ $(record state) == SAVED ]] || die "the record is $(record state)"
    agent n1 vm1 start 2>/dev/null || die "restore"
    agent n1 vm1 stop OCF_RESKEY_stop_action=poweroff 2>/dev/null || die "stop"
}

cluster_up 2
vm_create vm1 lun -- --ip 10.77.0.101
vm_create vm2 dir -- --ip 10.77.0.102
on n1 crm configure delete vm1
on n1 crm configure delete vm2
monitor_is_patient
qemu_hangs
guest_shuts_down
gate_is_not_in_the_xml
storage_goes_away
say "ok"
