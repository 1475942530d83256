#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 700
#
# Faults of the cluster: partitions with and without quorum, fencing that lies,
# nodes that freeze and come back, clocks that are wrong by an hour, the whole
# cluster without power.  Each time one copy runs or a saved state is there,
# disks and memory are intact, and nobody had to help (doc/faults.md).
#
#   test-faults-cluster.sh [--all] [--frozen SECONDS] [CASE...]
#       --all: also a node that freezes while its guests run, an owner that
#       stays off when the others have power again, and a clock that is behind
#       --frozen: how long at least (default: until the VM is taken over)
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

FROZEN_S=0
SKEWED=$QM_BUILD/tests/cluster/.libs/skewed-clock.so

shown() {
    echo "shown: faults: $*"
}

ms_since() {
    echo $(($(now_wall_ms) - $1))
}

# Both VMs on n1, nothing in the way.
prepare() { # [VM...]
    local name
    for name in "${@:-vm1}"; do
        [[ $(vm_node "$name") == n1 ]] || vm_move "$name" n1
        guest_wait_ticks "$name" 5 60
        vm_remember "$name"
    done
}

back_up() { # NODE: it has no power
    lab heal "$1" all
    lab start "$1"
    cluster_idle
}

no_domain() { # NODE VM
    ! on "$1" pgrep -f "qemu-system.*guest=$2,"
}

no_agent() { # NODE
    ! on "$1" pgrep -x VirtualMachine
}

gate_log() { # NODE
    echo "$QM_LAB_DIR/nodes/$1/log/quickmig/quickmig.log"
}

# When did NODE's gate find VM's disk lost, after FROM_MS?  Wall clock, ms.
lost_at() { # NODE VM FROM_MS
    local line at
    while read -r line; do
        at=$(date -d "${line:0:23}" +%s%3N)
        if [[ $at -ge $3 ]]; then
            echo "$at"
            return
        fi
    done < <(grep "VM \"$2\" on node .* lost disk vda" "$(gate_log "$1")")
    die "the gate of $2 on $1 does not say that it lost its disk"
}

# n1 is not asked any more: it is cut off, hangs, or has a view of its own.
forsake() {
    NODES=" n2 n3"
}

# Fencing said so, but it lives: put it down for good.
bury() {
    lab fencing honest
    lab kill n1
    NODES=" n1 n2 n3"
    back_up n1
}

owner_is_other() { # VM
    [[ $(vm_record "$1" state) == RUNNING && $(vm_record "$1" owner) != n1 ]] ||
        die "the record of $1: $(vm_record "$1" state) $(vm_record "$1" owner)"
}

# --- partitions

_no_quorum() { # NODE
    [[ $(on "$1" crm_mon -1) == *"WITHOUT quorum"* ]]
}

scatter() {
    local node
    lab cut sw cluster
    for node in n1 n2 n3; do
        lab_wait_until 60 _no_quorum "$node" || die "$node has quorum"
    done
}

# Two that see each other before they see the third have quorum, and fence it:
# so all three are needed for it, until they are together.
gather() {
    local node
    for node in n1 n2 n3; do on "$node" corosync-quorumtool -e 5 >/dev/null; done
    lab heal sw cluster
    lab_wait_until 60 quorate || die "no quorum again"
    on n1 corosync-quorumtool -e 3 >/dev/null
    cluster_idle
}

quorate() {
    [[ $(on n1 crm_mon -1) == *"Online: [ n1 n2 n3 ]"* ]]
}

state_in_vault() { # VM STATE [NODE]
    [[ $(on "${3:-n1}" quickmig status --json --vault "${VM_VAULT[$1]}" |
        jq -r '.vms[0].state') == "$2" ]]
}

# no-quorum-policy=freeze: it runs on, and nobody else may start it.
no_quorum_freeze() {
    local code=0
    say "--- nobody has quorum, policy freeze"
    prepare vm1
    on n1 crm configure property no-quorum-policy=freeze
    scatter
    agent n2 vm1 start >"$QM_LAB_DIR/out" 2>&1 || code=$?
    [[ $code == 1 ]] || die "a start without quorum says $code"
    grep -q 'not surely gone' "$QM_LAB_DIR/out" || die "no reason given"
    guest_wait_ticks vm1 5 30 || die "vm1 is silent"
    gather
    vm_same_boot vm1
    shown "no quorum, policy freeze: the guest runs on, nobody else starts it"
}

# no-quorum-policy=stop: it is saved, and goes on when there is a quorum.
no_quorum_stop() {
    say "--- nobody has quorum, policy stop"
    prepare vm1
    on n1 crm configure property no-quorum-policy=stop
    scatter
    lab_wait_until 60 state_in_vault vm1 SAVED || die "it was not saved"
    gather
    vm_same_boot vm1
    shown "no quorum, policy stop: saved, and continued when quorum is back"
}

# --- who is not dead

# From inside n1 only its own guests answer: the cable is cut.
watch_in_n1() { # ADDRESS
    on n1 setsid -f "$LAB_LIB_DIR/ping-watch" watch "$1" 10 \
        "$QM_LAB_DIR/ping/old.$1" </dev/null >/dev/null 2>&1
}

# When did somebody take VM's disk after FROM_MS?
taken_at() { # VM FROM_MS
    local line at
    while read -r line; do
        at=$(date -d "${line:0:23}" +%s%3N)
        if [[ $at -ge $2 ]]; then
            echo "$at"
            return
        fi
    done < <(cat "$(gate_log n2)" "$(gate_log n3)" |
        grep -E " $1: notice: disk vda: acquiring -> (holding|open)")
    die "nobody says that it took the disk of $1"
}

# The old copy's last word, against when its gate learned that it is over.
gone_in_time() { # VM ADDRESS FROM_MS WHAT
    local lost last taken
    lost=$(lost_at n1 "$1" "$3")
    taken=$(taken_at "$1" "$3")
    last=$(awk '$1 == "reply" { t = $3 } END { printf "%d", t / 1e6 }' \
        "$QM_LAB_DIR/ping/old.$2")
    [[ $last -ge $3 ]] || die "the watch of $1 saw nothing"
    [[ $((last - lost)) -le 1000 ]] ||
        die "the old $1 answered for $((last - lost)) ms more"
    shown "fencing lies, $4: refused $((lost - taken)) ms after the takeover," \
        "last ping $((last - lost)) ms after that"
}

# Its Pacemaker hangs, or it might stop the VMs before anybody takes them.
fencing_lies() {
    local began
    say "--- n1 is cut off, and fencing lies"
    prepare vm1 vm2
    mkdir -p "$QM_LAB_DIR/ping"
    forsake
    lab fencing lie
    on n1 pkill -STOP pacemaker
    began=$(now_wall_ms)
    lab cut n1 cluster
    watch_in_n1 10.77.0.101
    watch_in_n1 10.77.0.102
    guest_wait_boot vm1 "${VM_BOOT[vm1]}" 90 || die "vm1 not taken over"
    guest_wait_boot vm2 "${VM_BOOT[vm2]}" 90 || die "vm2 not taken over"
    lab_wait_until 10 no_domain n1 vm1 || die "the old vm1 is still there"
    lab_wait_until 10 no_domain n1 vm2 || die "the old vm2 is still there"
    gone_in_time vm1 10.77.0.101 "$began" "guest writes"
    gone_in_time vm2 10.77.0.102 "$began" "idle guest"
    owner_is_other vm1
    owner_is_other vm2
    vm_other_boot vm1
    vm_other_boot vm2
    old_nexus_refused n1 vm1 || die "n1 could still write"
    bury
    vm_disk_ok vm1
}

freeze() {
    forsake
    lab fencing lie
    lab freeze n1
    FROZEN_AT=$(now_wall_ms)
}

# It is frozen until somebody else runs the VMs; then it comes back.
freeze_over() { # VM...
    local name
    for name; do
        guest_wait_boot "$name" "${VM_BOOT[$name]}" 90 ||
            die "$name was not taken over"
    done
    while [[ $(ms_since "$FROZEN_AT") -lt $((FROZEN_S * 1000)) ]]; do
        sleep 0.2 # as long as the test was told to
    done
    say "n1 was frozen for $(ms_since "$FROZEN_AT") ms"
    THAWED=$(now_wall_ms)
    lab thaw n1
    for name; do
        lab_wait_until 15 no_domain n1 "$name" ||
            die "the old $name is still there"
    done
    GONE_MS=$(ms_since "$THAWED")
}

node_freezes() {
    say "--- n1 freezes, is taken over, and comes back"
    prepare vm1 vm2
    freeze
    freeze_over vm1 vm2
    lost_at n1 vm1 "$THAWED" >/dev/null
    lost_at n1 vm2 "$THAWED" >/dev/null
    [[ $GONE_MS -lt 5000 ]] || die "it took $GONE_MS ms"
    shown "node frozen until taken over: both old copies gone $GONE_MS ms" \
        "after it came back (as seen from outside)"
    # It is a member again: Pacemaker finds the VMs twice, and saves and
    # restores them.
    bury
    vm_other_boot vm1
    vm_other_boot vm2
    owner_is_other vm1
}

# The agent wakes up in the middle of its save, which is not its any more.  Its
# node stays alone, so that all that is written is the agent's.
node_freezes_in_save() {
    local generation
    say "--- n1 freezes in the middle of a save, and comes back"
    prepare vm1
    lab limit n1 80mbit storage
    on n3 crm_resource --move -r vm1 -N n2 >/dev/null 2>&1 || die "move"
    lab_wait_until 30 state_in_vault vm1 SAVING || die "no save"
    freeze
    lab cut n1 cluster
    freeze_over vm1
    lab limit n1 none storage
    generation=$(vm_record vm1 generation)
    lab_wait_until 90 no_agent n1 || die "the agent does not end"
    on n3 crm_resource --clear -r vm1 >/dev/null 2>&1 || die "clear"
    bury
    [[ $(vm_record vm1 generation) == "$generation" ]] ||
        die "the old owner wrote"
    owner_is_other vm1
    vm_other_boot vm1
    shown "node frozen in a save: the save that goes on writes nothing," \
        "the record stays the new owner's"
}

# --- clocks

# n1's Pacemaker, and with it the agent, believes in another time.
skewed() { # SECONDS
    [[ -e $SKEWED ]] || die "not built: $SKEWED"
    lab pacemaker n1 stop
    # Pacemaker orders what happened on two nodes by their clocks: it must not
    # remember what happened by the other one.
    ask_cluster crm_resource --refresh
    cluster_idle
    QM_LAB_ENVIRONMENT="LD_PRELOAD=$SKEWED QM_SKEW_S=$1" lab pacemaker n1 start
    cluster_idle
}

record_is_skewed() { # SECONDS
    local off
    off=$(($(vm_record vm1 since_us) / 1000000 - $(date +%s)))
    [[ $((off - $1)) -lt 120 && $((off - $1)) -gt -120 ]] ||
        die "the record's time is off by $off s"
}

# The owner's clock is an hour ahead, and it is cut off: fenced, taken over,
# though the record seems to be younger than the fencing.
clock_ahead() {
    local began
    say "--- n1, whose clock is an hour ahead, is cut off and fenced"
    leave_n1
    skewed 3600
    prepare vm1
    record_is_skewed 3600
    [[ $(vm_node vm2) == n2 ]] || vm_move vm2 n2
    vm_remember vm2
    began=$(now_wall_ms)
    lab cut n1 cluster
    vm_other_boot vm1
    shown "partition 1:2, fencing works, owner's clock an hour ahead: guest" \
        "boots elsewhere $(ms_since "$began") ms after the cut"
    cluster_idle
    owner_is_other vm1
    old_nexus_refused n1 vm1 || die "n1 could still write"
    vm_same_boot vm2
    back_up n1
}

# Fenced by the cluster's time, an hour after its record by its own: it lives.
clock_behind() {
    local code=0
    say "--- n1's clock is an hour behind, and it was fenced since"
    [[ $(fence_count n1) -gt 0 ]] || {
        lab kill n1
        lab_wait_until 60 was_fenced n1
        back_up n1
    }
    leave_n1
    skewed -3600
    prepare vm1
    record_is_skewed -3600
    agent n2 vm1 start >"$QM_LAB_DIR/out" 2>&1 || code=$?
    [[ $code == 1 ]] || die "a start by hand says $code"
    grep -q 'not surely gone' "$QM_LAB_DIR/out" || die "no reason given"
    vm_same_boot vm1
    shown "owner's clock an hour behind, fenced before: it counts as alive"
}

leave_n1() {
    local name
    for name in vm1 vm2; do
        [[ $(vm_node "$name") != n1 ]] || vm_move "$name" n2
    done
}

was_fenced() {
    [[ $(fence_count "$1") -gt 0 ]]
}

# --- no power anywhere

power_cut() {
    local node
    for node in n1 n2 n3; do lab kill "$node" & done
    wait
}

power_on() { # NODE...
    local node
    for node; do lab start "$node" & done
    wait
    cluster_idle 120
}

no_power() {
    local began
    say "--- the whole cluster loses its power: vm1 runs, vm2 is saved"
    vm_remember vm2
    on n1 crm resource stop vm2 >/dev/null 2>&1
    cluster_idle
    [[ $(vm_record vm2 state) == SAVED ]] || die "vm2 is not saved"
    prepare vm1
    power_cut
    began=$(now_wall_ms)
    power_on n1 n2 n3
    vm_other_boot vm1
    shown "power lost everywhere: guest boots $(ms_since "$began") ms after" \
        "power is back"
    [[ $(vm_record vm2 state) == SAVED ]] || die "vm2 is not saved any more"
    vm_start vm2
    vm_same_boot vm2
    shown "power lost everywhere: a saved VM continues with its memory"
}

# The others fence it when they come up.
owner_stays_off() {
    say "--- the whole cluster loses its power, and the owner stays off"
    prepare vm1 vm2
    power_cut
    power_on n2 n3
    vm_other_boot vm1
    owner_is_other vm1
    vm_other_boot vm2
    shown "power lost everywhere, the owner stays off: booted on another node"
    back_up n1
}

CASES=() ALL=(node_freezes owner_stays_off clock_behind)
DEFAULT=(no_quorum_freeze no_quorum_stop fencing_lies clock_ahead
    node_freezes_in_save no_power)
while [[ $# -gt 0 ]]; do
    case $1 in
    --all) CASES+=("${DEFAULT[@]}" "${ALL[@]}") ;;
    --frozen) FROZEN_S=$2
        shift ;;
    *) CASES+=("$1") ;;
    esac
    shift
done
[[ ${#CASES[@]} -gt 0 ]] || CASES=("${DEFAULT[@]}")

cluster_up 3
VAULT_SIZE=256M vm_create vm1 lun -- --ip 10.77.0.101 --fill 32 --disk 20
VAULT_SIZE=256M vm_create vm2 lun -- --ip 10.77.0.102 --disk 3600000
vm_start vm1
vm_start vm2
for case in "${CASES[@]}"; do
    "$case"
done
say "ok"
