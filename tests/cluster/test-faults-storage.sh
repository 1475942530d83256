#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# Storage that goes away under a VM that writes: the target dies and comes
# back, the network is cut for a while, in one direction, and for too long; the
# same in the middle of a takeover.  Disks that are full, that are other ones
# than before, and that cannot be reserved.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

LIMIT=10 # s, reconnect_limit

shown() {
    echo "shown: faults: $*"
}

# How often vm1's gate on NODE went from one state to another.
went() { # NODE FROM TO
    grep -c "disk vda: $2 -> $3:" \
        "$QM_LAB_DIR/nodes/$1/log/quickmig/quickmig.log" || true
}

has_gone() { # NODE FROM TO COUNT
    [[ $(went "$1" "$2" "$3") -gt $4 ]]
}

# Milliseconds: the longest time without a synced write since tick $2.  Ticks
# go on while a write waits; their number of the last synced block does not.
longest_stall() {
    grep -a '^TICK boot=.* disk=[0-9]*$' "$(guest_console "$1")" |
        tail -n +"$2" | sed 's/.* us=\([0-9]*\) .* disk=/\1 /' |
        awk '$2 != seq { if (NR > 1 && $1 - last > most) most = $1 - last
                         last = $1; seq = $2 }
             END { printf "%d\n", most / 1000 }'
}

synced_over() { # VM SEQ
    [[ $(guest_synced "$1") -gt $2 ]]
}

# Until the guest has written for a while again.
wait_synced() { # VM
    lab_wait_until 60 synced_over "$1" $(($(guest_synced "$1") + 10)) ||
        die "$1 does not write"
}

failures() {
    on "$(any_node)" crm_mon -1rf | grep -c 'fail-count' || true
}

# The guest went on, saw no error, and nobody was fenced or restarted.
unharmed() { # VM
    local n
    vm_same_boot "$1"
    ! grep -aq DISKERR "$(guest_console "$1")" || die "the guest saw an error"
    for n in $NODES; do
        [[ $(fence_count "$n") == 0 ]] || die "$n was fenced"
    done
    [[ $(failures) == 0 ]] || die "an action failed"
}

target_dies() {
    local node ticks stall away back
    say "--- the target dies, and comes back without its reservations"
    node=$(vm_node vm1)
    ticks=$(guest_ticks vm1)
    away=$(went "$node" open reconnecting)
    back=$(went "$node" reconnecting open)
    lab target kill
    lab_wait_until 20 has_gone "$node" open reconnecting "$away" ||
        die "not noticed"
    lab target start
    lab_wait_until 20 has_gone "$node" reconnecting open "$back" ||
        die "not open again"
    wait_synced vm1
    stall=$(longest_stall vm1 "$ticks")
    unharmed vm1
    old_nexus_refused n9 vm1 || die "the disk is not reserved again"
    shown "target killed and restarted under write load: guest stalled" \
        "$stall ms, no error, disk log unbroken"
}

network_cut() { # SECONDS [DIRECTION]
    local node ticks stall
    node=$(vm_node vm1)
    ticks=$(guest_ticks vm1)
    lab cut "$node" storage ${2:+"$2"}
    sleep "$1" # how long it lasts
    lab heal "$node" storage
    wait_synced vm1
    stall=$(longest_stall vm1 "$ticks")
    unharmed vm1
    shown "storage network cut for $1 s (${2:-both directions}): guest" \
        "stalled $stall ms, no error"
}

network_gone() {
    local node began
    say "--- the storage is away for longer than the gate waits"
    node=$(vm_node vm1)
    vm_remember vm1
    began=$(now_wall_ms)
    lab cut "$node" storage
    guest_wait_boot vm1 "${VM_BOOT[vm1]}" 180 || die "not recovered"
    vm_other_boot vm1
    cluster_idle
    [[ $(vm_node vm1) != "$node" ]] || die "still on $node"
    [[ $(fence_count "$node") == 0 ]] || die "$node was fenced"
    grep -q "not taken again within $LIMIT s" \
        "$QM_LAB_DIR/nodes/$node/log/quickmig/quickmig.log" ||
        die "the gate does not say why it gave up"
    shown "storage network gone for good: disk given up after $LIMIT s," \
        "guest booted elsewhere after $((($(now_wall_ms) - began) / 1000)) s"
    lab heal "$node" storage
    on "$(any_node)" crm_resource --cleanup >/dev/null 2>&1 || true
    cluster_idle
}

fence_done() {
    [[ $(fence_count "$1") -ge 1 ]]
}

no_domain() { # NODE VM
    local names
    names=$(on "$1" virsh -q list --all --name) || return 1 # that says nothing
    ! grep -qx "$2" <<<"$names"
}

# Fencing says that the owner is dead, and it is not; nobody has a reservation
# when the target comes back, so that all could take it.
target_dies_in_takeover() {
    local node
    say "--- the target dies while another node takes over"
    node=$(vm_node vm1)
    vm_remember vm1
    lab fencing lie
    on "$node" pkill -STOP pacemaker
    lab target kill
    lab cut "$node" cluster
    lab_wait_until 60 fence_done "$node" || die "nobody is fenced"
    lab target start
    guest_wait_boot vm1 "${VM_BOOT[vm1]}" 120 || die "not taken over"
    lab_wait_until $((LIMIT + 30)) no_domain "$node" vm1 ||
        die "the stale guest is still there"
    vm_disk_ok vm1 "${VM_SEQ[vm1]}"
    [[ $(vm_copies vm1) == 1 ]] || die "$(vm_copies vm1) copies"
    old_nexus_refused "$node" vm1 || die "$node could still write"
    shown "target killed and restarted in a takeover: one winner, the old" \
        "owner's guest gone and its writes refused, disk log unbroken"
}

# --- a disk that fails as it is told: vm2, by hand ---

RULES=
FAULTY=10.78.0.254:3261

faults() {
    printf '%s\n' "$@" >"$RULES.new"
    mv "$RULES.new" "$RULES"
}

faulty_vm() {
    local url
    RULES=$QM_LAB_DIR/fault.rules
    faults
    lab exec sw "$QM_SRC/tests/functional/iscsi-fault" "$FAULTY" \
        10.78.0.254:3260 "$RULES" >"$QM_LAB_DIR/fault.log" 2>&1 &
    lab_wait_until 10 grep -q ready "$QM_LAB_DIR/fault.log" || die "no faults"
    url=$(vm_lun vm2-disk 64M)
    url=iscsi://$FAULTY/${url#iscsi://*/}
    lab vm-xml vm2 --disk-url "$url" --ip 10.77.0.102 >"$QM_LAB_DIR/vm2.xml"
    VM_VAULT[vm2]=$SHARED/vm2
    on n1 mkdir -p "${VM_VAULT[vm2]}"
}

# The agent fails, and says so.
fails() { # ACTION PATTERN [VAR=VALUE...]
    local action=$1 pattern=$2
    shift 2
    ! agent n1 vm2 "$action" "$@" 2>"$QM_LAB_DIR/out" ||
        die "$action of vm2 succeeded"
    grep -q "ocf-exit-reason:.*$pattern" "$QM_LAB_DIR/out" ||
        die "$action: expected \"$pattern\": $(<"$QM_LAB_DIR/out")"
}

succeeds() { # ACTION [VAR=VALUE...]
    agent n1 vm2 "$@" 2>"$QM_LAB_DIR/out" ||
        die "$1 of vm2: $(<"$QM_LAB_DIR/out")"
}

create() { # OPTION...
    on n1 quickmig vault create "${VM_VAULT[vm2]}" \
        --xml "$QM_LAB_DIR/vm2.xml" "$@" >"$QM_LAB_DIR/out" 2>&1
}

no_reservations() {
    say "--- a disk whose target knows no reservations"
    faults "prin 0 always 5/20/00" "prout 0 always 5/20/00"
    ! create || die "vault create takes it"
    grep -q "disk vda.*persistent reservations" "$QM_LAB_DIR/out" ||
        die "vault create: $(<"$QM_LAB_DIR/out")"
    create --allow-unfenced || die "vault create: $(<"$QM_LAB_DIR/out")"
    grep -q "UNFENCED" "$QM_LAB_DIR/out" || die "it does not say so"
    fails start "persistent reservations"
    succeeds stop OCF_RESKEY_stop_action=poweroff
    on n1 crm configure primitive vm2 ocf:quickmig:VirtualMachine \
        params vault="${VM_VAULT[vm2]}" allow_unfenced=true \
        op start timeout=180s interval=0 op stop timeout=300s interval=0 \
        op monitor timeout=30s interval=10s meta target-role=Stopped
    cluster_idle
    succeeds start OCF_RESKEY_allow_unfenced=true
    guest_wait_ticks vm2 5 60 || die "vm2 does not tick"
    on n1 quickmig status >"$QM_LAB_DIR/out" 2>&1 || die "status"
    grep -q 'vda open UNFENCED' "$QM_LAB_DIR/out" || die "status: no gate"
    grep -q 'warning: vm2: UNFENCED' "$QM_LAB_DIR/out" || die "status: no word"
    on n1 quickmig doctor >"$QM_LAB_DIR/out" 2>&1 || true
    grep -q 'disk vda UNFENCED' "$QM_LAB_DIR/out" ||
        die "doctor: $(<"$QM_LAB_DIR/out")"
    succeeds stop OCF_RESKEY_stop_action=poweroff
    on n1 crm configure delete vm2
    faults
    shown "target without reservations: refused by vault create and start;" \
        "with allow_unfenced loud in status and doctor"
}

is_paused() {
    [[ $(on n1 virsh domstate vm2 --reason) == "paused (I/O error)" ]]
}

disk_full() {
    say "--- the disk's target is full"
    succeeds start
    guest_wait_ticks vm2 5 60 || die "vm2 does not tick"
    faults "write 0 always 7/27/07"
    lab_wait_until 20 is_paused || die "the guest is not paused"
    fails monitor "paused by an I/O error: disk vda: .*no space left" \
        OCF_RESKEY_CRM_meta_interval=10000
    faults
    on n1 virsh -q resume vm2
    guest_wait_ticks vm2 5 30 || die "vm2 does not go on"
    ! grep -aq DISKERR "$(guest_console vm2)" || die "the guest saw an error"
    succeeds monitor OCF_RESKEY_CRM_meta_interval=10000
    disk_log_check "$(lab lun path vm2-disk)" >/dev/null || die "disk log"
    succeeds stop OCF_RESKEY_stop_action=poweroff
    shown "target full (07/27): the VM is paused, the monitor says why; with" \
        "room it goes on, the guest has seen nothing"
}

other_disk() {
    say "--- another LUN has the disk's name"
    lab lun delete vm2-disk
    lab lun create vm2-disk 64M --scsi-id qm-another-0123456789abcdef >/dev/null
    fails start "another LUN than the one that this VM ran on"
    succeeds stop OCF_RESKEY_stop_action=poweroff
    on n1 quickmig vault edit "${VM_VAULT[vm2]}" --new-disks || die "new disks"
    succeeds start
    guest_wait_ticks vm2 5 60 || die "vm2 does not tick"
    succeeds stop OCF_RESKEY_stop_action=poweroff
    shown "another LUN behind a disk's name: start refused, until an" \
        "administrator says that it is meant"
}

LAB_UP_OPTIONS=()
cluster_up 3
MONITOR_INTERVAL=5s vm_create vm1 lun reconnect_limit=$LIMIT -- \
    --ip 10.77.0.101
vm_start vm1
vm_remember vm1
if [[ $# -gt 0 ]]; then # some of them, by hand
    for step; do $step; done
    exit
fi
faulty_vm
no_reservations
disk_full
other_disk
target_dies
network_cut 1
network_cut 10
network_cut 3 --in
network_cut 3 --out
network_gone
target_dies_in_takeover
say "ok"
