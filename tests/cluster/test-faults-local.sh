#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 900
#
# Faults of one node: Pacemaker kills an action that outlives its timeout;
# libvirtd hangs or is restarted, QEMU is killed or hangs, in the middle of each
# action; a gate is killed under load; /run is full; memory and file
# descriptors run out.  No action ever says "not running" while it is not sure,
# and a stop and a start settle whatever was left: with the guest's memory,
# unless its QEMU or its node was lost (doc/faults.md).
#
#   test-faults-local.sh [--all] [CASE...]
#       --all: each fault in each action (default: the telling ones)
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

AGENT_MS=10000 # timeout of actions by hand

shown() {
    echo "shown: faults: $*"
}

maintenance() { # true|false
    on n1 crm configure property maintenance-mode="$1"
    cluster_idle
}

slow() {
    lab limit "$1" 80mbit storage
}

fast() {
    lab limit "$1" none storage
}

has_qemu() { # NODE
    on "$1" pgrep -f 'qemu-system.*guest=vm1,'
}

record_is() { # STATE
    [[ $(on n1 quickmig status --json --vault "${VM_VAULT[vm1]}" |
        jq -r '.vms[0].state') == "$1" ]]
}

# --- actions that Pacemaker kills

op_timeout() { # ACTION SECONDS
    local id node
    node=$(any_node)
    id=$(on "$node" cibadmin --query --local \
        --xpath "//primitive[@id='vm1']//op[@name='$1']" |
        sed -n 's/.* id="\([^"]*\)".*/\1/p' | head -n 1)
    on "$node" cibadmin --modify --xpath "//op[@id='$id']" \
        --xml-text "<op id=\"$id\" timeout=\"$2s\"/>" ||
        die "cannot set the timeout of $1"
}

# The action's process, wherever it runs; it does not run on from there.
_freeze_agent() { # ACTION
    local node
    for node in $NODES; do
        if on "$node" pkill -STOP -f "quickmig/VirtualMachine $1\$"; then
            FROZEN=$node
            return
        fi
    done
    return 1
}

_agent_gone() { # NODE ACTION
    ! on "$1" pgrep -f "quickmig/VirtualMachine $2\$"
}

_timed_out() { # NODE ACTION COUNT
    [[ $(timeouts "$1" "$2") -gt $3 ]]
}

timeouts() { # NODE ACTION
    grep -Eci "vm1_$2_[0-9]+.*timed out" \
        "$QM_LAB_DIR/nodes/$1/log/pacemaker/pacemaker.log" || true
}

# Pacemaker kills the action, which does not move any more.
outlive() { # ACTION SECONDS
    local node
    local -A before
    for node in $NODES; do before[$node]=$(timeouts "$node" "$1"); done
    lab_wait_until 60 _freeze_agent "$1" || die "no $1 seen"
    # A changed monitor would be cancelled, and begun anew.
    [[ $1 == monitor ]] || op_timeout "$1" 180
    lab_wait_until 60 _agent_gone "$FROZEN" "$1" || die "$1 was not killed"
    lab_wait_until 60 _timed_out "$FROZEN" "$1" "${before[$FROZEN]}" ||
        die "Pacemaker does not say that $1 timed out"
    say "$1 on $FROZEN was killed by Pacemaker"
    for node in $NODES; do fast "$node"; done
}

ready() {
    guest_wait_ticks vm1 5 60 || die "vm1 is silent"
    vm_remember vm1
}

cleaned() { # WHY
    on n1 crm_resource --cleanup -r vm1 >/dev/null 2>&1 || die "cleanup"
    cluster_idle
}

killed_migrate_to() {
    local to
    say "--- migrate_to is killed by Pacemaker"
    ready
    to=$([[ $(vm_node vm1) == n1 ]] && echo n2 || echo n1)
    slow "$(vm_node vm1)"
    op_timeout migrate_to 5
    on n3 crm_resource --move -r vm1 -N "$to" >/dev/null 2>&1 || die "move"
    lab_wait_until 30 record_is SAVING || die "no save"
    outlive migrate_to
    cluster_idle 120
    on n3 crm_resource --clear -r vm1 >/dev/null 2>&1 || die "clear"
    cluster_idle
    vm_same_boot vm1
    shown "migrate_to killed by Pacemaker's timeout: same boot on" \
        "$(vm_node vm1), no cleanup needed"
}

killed_migrate_from() {
    local to
    say "--- migrate_from is killed by Pacemaker"
    ready
    to=$([[ $(vm_node vm1) == n1 ]] && echo n2 || echo n1)
    slow "$to"
    op_timeout migrate_from 5
    on n3 crm_resource --move -r vm1 -N "$to" >/dev/null 2>&1 || die "move"
    lab_wait_until 60 has_qemu "$to" || die "no restore"
    outlive migrate_from
    cluster_idle 120
    on n3 crm_resource --clear -r vm1 >/dev/null 2>&1 || die "clear"
    cluster_idle
    vm_same_boot vm1
    shown "migrate_from killed by Pacemaker's timeout: same boot on" \
        "$(vm_node vm1), no cleanup needed"
}

killed_monitor() {
    say "--- monitor is killed by Pacemaker"
    ready
    op_timeout monitor 4
    cluster_idle
    outlive monitor
    op_timeout monitor 30
    cluster_idle 120
    vm_same_boot vm1
    shown "monitor killed by Pacemaker's timeout: saved and restored," \
        "same boot"
}

_domain_somewhere() {
    has_qemu n1 || has_qemu n2 || has_qemu n3
}

# The node is banned for this VM until somebody cleans up.
killed_start() {
    local node
    say "--- start is killed by Pacemaker in the middle of a restore"
    ready
    on n3 crm resource stop vm1 >/dev/null 2>&1
    cluster_idle
    for node in $NODES; do slow "$node"; done
    op_timeout start 5
    on n3 crm resource start vm1 >/dev/null 2>&1
    lab_wait_until 60 _domain_somewhere || die "no restore"
    outlive start
    cluster_idle 120
    [[ $(vm_node vm1) != "$FROZEN" ]] || die "it is on $FROZEN again"
    vm_same_boot vm1
    shown "start killed by Pacemaker's timeout: same boot on another node;" \
        "crm resource cleanup lets it back"
    cleaned
}

# Pacemaker fences the node; nothing else can be sure.
killed_stop() {
    say "--- stop is killed by Pacemaker in the middle of the save"
    ready
    slow "$(vm_node vm1)"
    op_timeout stop 8
    on n3 crm resource stop vm1 >/dev/null 2>&1
    lab_wait_until 30 record_is SAVING || die "no save"
    outlive stop
    lab_wait_until 60 fenced "$FROZEN" || die "$FROZEN was not fenced"
    cluster_idle 120
    op_timeout stop 60
    [[ $(vm_copies_up) == 0 ]] || die "a copy is left"
    ask_cluster crm resource start vm1
    vm_other_boot vm1
    lab start "$FROZEN"
    cluster_idle 120
    shown "stop killed by Pacemaker's timeout: its node is fenced, the guest" \
        "boots on another; no cleanup needed"
}

fenced() {
    [[ $(fence_count "$1") -ge 1 ]]
}

vm_copies_up() {
    vm_copies vm1 2>/dev/null
}

# --- actions that meet a fault, by hand

must() {
    agent "$@" >"$QM_LAB_DIR/must.log" 2>&1 || {
        cat "$QM_LAB_DIR/must.log"
        die "$* failed"
    }
}

_seen() { # NODE ACTION: it is in the middle
    case $2 in
    start | migrate_from) has_qemu "$1" ;;
    *) record_is SAVING ;;
    esac
}

# The VM where the action finds it.
set_up() { # NODE ACTION
    ready
    case $2 in
    start) must n1 vm1 stop ;;
    migrate_from) must n1 vm1 migrate_to OCF_RESKEY_CRM_meta_migrate_target=n2 ;;
    esac
    slow "$1"
}

# Runs the action, and the fault in the middle of it; its code into CODE.
meets() { # ACTION FAULT...
    local action=$1 node=n1 runner began
    shift
    [[ $action != migrate_from ]] || node=n2
    set_up "$node" "$action"
    began=$(now_wall_ms)
    agent "$node" vm1 "$action" OCF_RESKEY_CRM_meta_timeout=$AGENT_MS \
        OCF_RESKEY_CRM_meta_migrate_source=n1 \
        OCF_RESKEY_CRM_meta_migrate_target=n2 >"$QM_LAB_DIR/out" 2>&1 &
    runner=$!
    lab_wait_until 30 _seen "$node" "$action" || die "no $action seen"
    "$@" "$node"
    fast "$node"
    CODE=0
    wait "$runner" || CODE=$?
    MS=$(($(now_wall_ms) - began))
    lab libvirtd "$node" thaw >/dev/null 2>&1 || true
    say "$action, $*: code $CODE after $MS ms: $(sed -n \
        's/^ocf-exit-reason://p' "$QM_LAB_DIR/out" | tail -n 1 | cut -c1-150)"
    [[ $CODE == 0 || $CODE == 1 ]] || die "$action says $CODE"
    [[ $MS -lt $((AGENT_MS + 3000)) ]] || die "$action took $MS ms"
}

# A stop on both nodes and a start, as Pacemaker does after any failure.
settle() { # keeps|may-boot
    local state boot
    must n2 vm1 stop
    must n1 vm1 stop
    [[ $(vm_copies vm1) == 0 ]] || die "a copy is left"
    state=$(vm_record vm1 state)
    [[ $state == SAVED || ($1 == may-boot && $state == OFF) ]] ||
        die "the record is $state"
    must n1 vm1 start
    if [[ $state == SAVED ]]; then
        vm_same_boot vm1
    else
        boot=${VM_BOOT[vm1]}
        guest_wait_boot vm1 "$boot" 60 || die "no boot"
        vm_disk_ok vm1 "${VM_SEQ[vm1]}"
    fi
    HOW=$([[ $state == SAVED ]] && echo "same boot" || echo "cold boot")
}

libvirtd_hangs() { # NODE
    lab libvirtd "$1" freeze
}

libvirtd_restarts() { # NODE
    lab libvirtd "$1" kill
    lab libvirtd "$1" start
}

qemu_is_killed() { # NODE
    on "$1" pkill -KILL -f 'qemu-system.*guest=vm1,'
}

qemu_hangs() { # NODE
    on "$1" pkill -STOP -f 'qemu-system.*guest=vm1,'
}

fault() { # ACTION FAULT keeps|may-boot
    say "--- $2 in the middle of $1"
    meets "$1" "$2"
    settle "$3"
    shown "${2//_/ } in $1: code $CODE in $MS ms, then stop and start: $HOW"
}

# What a stop cannot save it powers off; a guest whose QEMU is gone is gone.
by_hand() {
    maintenance true
    fault migrate_to libvirtd_hangs keeps
    fault migrate_from libvirtd_hangs keeps
    AGENT_MS=60000 fault stop libvirtd_restarts keeps # time for two saves
    fault start libvirtd_restarts keeps
    fault migrate_to qemu_is_killed may-boot
    fault start qemu_is_killed keeps
    if [[ $ALL == yes ]]; then
        fault stop libvirtd_hangs keeps
        fault start libvirtd_hangs keeps
        fault migrate_to libvirtd_restarts keeps
        fault migrate_from libvirtd_restarts keeps
        fault stop qemu_is_killed may-boot
        fault migrate_from qemu_is_killed keeps
        fault stop qemu_hangs may-boot
        fault migrate_to qemu_hangs may-boot
        fault start qemu_hangs keeps
        fault migrate_from qemu_hangs keeps
    fi
    maintenance false
}

# --- what runs out

fill_run() { # NODE
    # shellcheck disable=SC2016 # for the node's shell
    on "$1" sh -c 'used=$(df --output=used -k /run | tail -n 1)
        mount -o remount,size=$((used + 64))k /run
        cat /dev/zero >/run/full 2>/dev/null; true'
    ! on "$1" sh -c 'echo x >/run/more' 2>/dev/null || die "/run is not full"
}

empty_run() { # NODE
    on "$1" rm -f /run/full /run/more
    on "$1" mount -o remount,size=50% /run
}

code() { # NODE ACTION [VAR=VALUE...]
    local code=0
    agent "$1" vm1 "${@:2}" >"$QM_LAB_DIR/out" 2>&1 || code=$?
    echo "$code"
}

# The guest is watched and saved all the same; nothing starts there.
run_is_full() {
    say "--- /run is full"
    maintenance true
    ready
    fill_run n1
    [[ $(code n1 monitor OCF_RESKEY_CRM_meta_interval=10000) == 0 ]] ||
        die "monitor: $(<"$QM_LAB_DIR/out")"
    [[ $(code n1 stop) == 0 ]] || die "stop: $(<"$QM_LAB_DIR/out")"
    [[ $(vm_copies vm1) == 0 ]] || die "a copy is left"
    [[ $(vm_record vm1 state) == SAVED ]] || die "not saved: $(<"$QM_LAB_DIR/out")"
    on n1 sh -c 'cat /dev/zero >>/run/full 2>/dev/null; true'
    [[ $(code n1 start) == 1 ]] || die "start on a full node says otherwise"
    [[ $(code n1 stop) == 0 ]] || die "stop: $(<"$QM_LAB_DIR/out")"
    must n2 vm1 start
    vm_same_boot vm1
    empty_run n1
    must n2 vm1 migrate_to OCF_RESKEY_CRM_meta_migrate_target=n1
    must n1 vm1 migrate_from
    vm_same_boot vm1
    maintenance false
    shown "/run full: watched, saved, started on another node; same boot"
}

# The same action with less and less, until it cannot even say so.
limited() { # OPTION VALUES ACTION GOOD [VAR=VALUE...]
    local option=$1 value code codes=''
    for value in $2; do
        code=0
        on n1 prlimit "--$option=$value" env OCF_ROOT=/usr/lib/ocf \
            OCF_RESOURCE_INSTANCE=vm1 OCF_RESKEY_vault="${VM_VAULT[vm1]}" \
            OCF_RESKEY_CRM_meta_timeout=$AGENT_MS "${@:5}" "$AGENT" "$3" \
            >"$QM_LAB_DIR/out" 2>&1 || code=$?
        codes+=" $code"
        [[ $code == "$4" || $code == 1 || $code -gt 120 ]] ||
            die "$3 with $option=$value says $code: $(<"$QM_LAB_DIR/out")"
    done
    say "$3, $option $2:$codes"
    CODES=$codes
}

# "Not running" is a fault of the first kind; an error, or death, is none.
nothing_left() {
    local few="4 8 12 16 20 24 32"
    local little="16777216 50331648 67108864 100663296 268435456"
    say "--- file descriptors and memory run out"
    maintenance true
    ready
    limited nofile "$few" monitor 0 OCF_RESKEY_CRM_meta_interval=10000
    [[ $CODES == *0 ]] || die "32 descriptors are not enough"
    limited as "$little" monitor 0 OCF_RESKEY_CRM_meta_interval=10000
    limited nofile "8 16" migrate_to 1 OCF_RESKEY_CRM_meta_migrate_target=n2
    settle keeps
    must n1 vm1 stop
    limited nofile "8 16 20" start 0
    limited nofile "8 16 20" stop 0
    settle keeps
    maintenance false
    shown "descriptors or memory exhausted: an action errs, never \"not" \
        "running\"; same boot"
}

# It can neither log in again nor answer anybody: another one takes its place.
gate_without_descriptors() {
    local gate
    say "--- the gate has no descriptor left, and its target is restarted"
    ready
    gate=$(on "$(vm_node vm1)" pgrep -x quickmig-gate)
    on "$(vm_node vm1)" prlimit --pid "$gate" --nofile=3:1024
    lab target restart
    lab_wait_until 120 _gate_is_new "$gate" || die "no new gate"
    cluster_idle
    vm_same_boot vm1
    shown "gate without descriptors, its target restarted: ended, saved and" \
        "restored with a new gate, same boot"
}

gate_hangs() {
    local gate
    say "--- the gate hangs"
    ready
    gate=$(on "$(vm_node vm1)" pgrep -x quickmig-gate)
    on "$(vm_node vm1)" kill -STOP "$gate"
    lab_wait_until 120 _gate_is_new "$gate" || die "no new gate"
    cluster_idle
    vm_same_boot vm1
    shown "gate hangs: ended, saved and restored with a new gate, same boot"
}

# quickmigd is an optimisation: starved, the move goes without it.
daemon_without_descriptors() {
    local to
    say "--- quickmigd has few descriptors"
    ready
    to=$([[ $(vm_node vm1) == n1 ]] && echo n2 || echo n1)
    for node in n1 n2; do
        on $node prlimit --nofile=12 quickmigd || say "quickmigd does not start"
    done
    vm_move vm1 "$to"
    vm_same_boot vm1
    for node in n1 n2; do on $node pkill -x quickmigd || true; done
    shown "quickmigd without descriptors: the move goes without it"
}

# --- a gate under load

_gate_is_new() { # PID
    on "$(vm_node vm1)" quickmig status --json vm1 | jq -e \
        ".vms[0].gates[0] | .state == \"open\" and .pid != $1"
}

gate_dies_under_load() {
    local pid before
    say "--- the gate is killed under load"
    ready
    pid=$(on "$(vm_node vm1)" pgrep -x quickmig-gate)
    before=$(guest_synced vm1)
    on "$(vm_node vm1)" kill -KILL "$pid"
    lab_wait_until 60 _gate_is_new "$pid" || die "no new gate"
    cluster_idle
    vm_same_boot vm1
    [[ $(guest_synced vm1) -gt $before ]] || die "it writes no more"
    shown "gate killed under load: saved and restored with a new gate, disk" \
        "log unbroken, same boot"
}

CASES=() ALL=no
for word; do
    case $word in
    --all) ALL=yes
        CASES+=(gate_hangs) ;;
    *) CASES+=("$word") ;;
    esac
done
DEFAULT=(gate_dies_under_load
    killed_monitor killed_migrate_to killed_migrate_from killed_start
    gate_without_descriptors daemon_without_descriptors by_hand run_is_full
    nothing_left killed_stop)
if [[ ${#CASES[@]} -eq 0 || $ALL == yes ]]; then
    CASES+=("${DEFAULT[@]}")
fi

cluster_up 3
VAULT_SIZE=256M MONITOR_INTERVAL=5s vm_create vm1 lun -- --ip 10.77.0.101 \
    --fill 32 --disk 5
vm_start vm1
[[ $(vm_node vm1) == n1 ]] || vm_move vm1 n1
for case in "${CASES[@]}"; do
    [[ $case == killed_* || $(vm_node vm1) == n1 ]] || vm_move vm1 n1
    "$case"
done
say "ok"
