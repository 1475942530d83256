#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 300
#
# Guest health: an answer by the agent and by a command; one miss touches
# nothing; a silent guest is booted anew, not saved; a move begins the count
# again; a VM without a channel is refused; metrics tell the misses.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

LEVEL10="OCF_CHECK_LEVEL=10 OCF_RESKEY_CRM_meta_interval=30000
    OCF_RESKEY_health_timeout=1"

health() { # NODE NAME [VAR=VALUE...]: one check by hand; prints its code
    local node=$1 name=$2 code=0
    shift 2
    # shellcheck disable=SC2086 # words
    agent "$node" "$name" monitor $LEVEL10 "$@" >"$QM_LAB_DIR/health.out" 2>&1 ||
        code=$?
    echo "$code"
}

expect() { # CODE NODE NAME [VAR=VALUE...]
    local want=$1 got
    shift
    got=$(health "$@")
    [[ $got == "$want" ]] ||
        die "health of $* is $got, not $want: $(<"$QM_LAB_DIR/health.out")"
}

silence() { # NODE NAME MS
    on "$1" virsh -q qemu-agent-command "$2" \
        "{\"execute\":\"lab-silent\",\"arguments\":{\"ms\":$3}}" >/dev/null ||
        die "the guest's agent does not answer"
}

# "row misses"
count() { # NODE NAME
    on "$1" cat "/run/quickmig/vm/$(uuid "$2")/health" | cut -d' ' -f5,6
}

uuid() {
    xmllint --xpath 'string(/domain/uuid)' "$QM_LAB_DIR/$1.xml"
}

answers() {
    local node
    node=$(vm_node vm1)
    say "the guest answers; its command is well, and is not"
    expect 0 "$node" vm1
    [[ $(count "$node" vm1) == "0 "* ]] || die "count: $(count "$node" vm1)"
    [[ $(on "$node" stat -c %a "/run/quickmig/vm/$(uuid vm1)/health") == 600 ]] ||
        die "mode of the note"
    expect 0 "$node" vm1 OCF_RESKEY_health_command="/init 0"
    expect 1 "$node" vm1 OCF_RESKEY_health_command="/init 3" \
        OCF_RESKEY_health_misses=1
    grep -q 'health_command failed' "$QM_LAB_DIR/health.out" ||
        die "reason: $(<"$QM_LAB_DIR/health.out")"
    expect 0 "$node" vm1 OCF_RESKEY_health_command="/nothing" # one miss of 3
    [[ $(count "$node" vm1) == "2 "* ]] || die "count: $(count "$node" vm1)"
    expect 0 "$node" vm1
    [[ $(count "$node" vm1) == "0 "* ]] || die "count: $(count "$node" vm1)"
}

no_channel() {
    local node code=0
    node=$(vm_node vm2)
    say "a VM without a channel"
    expect 6 "$node" vm2
    grep -q "org.qemu.guest_agent.0" "$QM_LAB_DIR/health.out" ||
        die "reason: $(<"$QM_LAB_DIR/health.out")"
    agent "$node" vm2 validate-all OCF_CHECK_LEVEL=10 \
        OCF_RESKEY_health_command=/init >"$QM_LAB_DIR/health.out" 2>&1 || code=$?
    [[ $code == 6 ]] || die "validate-all: $code"
    agent "$node" vm1 validate-all OCF_CHECK_LEVEL=10 \
        OCF_RESKEY_health_command=/init || die "validate-all of vm1"
    guest_wait_ticks vm2 3 || die "vm2 was touched"
}

a_move_begins_anew() {
    local from to
    from=$(vm_node vm1)
    to=n1
    [[ $from != n1 ]] || to=n2
    say "two misses on $from, then a move to $to"
    vm_remember vm1
    silence "$from" vm1 10000
    expect 0 "$from" vm1
    expect 0 "$from" vm1
    [[ $(count "$from" vm1) == "2 "* ]] || die "count: $(count "$from" vm1)"
    vm_move vm1 "$to"
    vm_same_boot vm1
    lab_wait_until 30 well "$to" vm1 || die "no answer on $to"
    silence "$to" vm1 3000
    expect 0 "$to" vm1
    [[ $(count "$to" vm1) == "1 "* ]] || die "count: $(count "$to" vm1)"
}

well() {
    [[ $(health "$1" "$2") == 0 && $(count "$1" "$2") == "0 "* ]] &&
        has_answered "$1" "$2"
}

has_answered() {
    [[ $(on "$1" cut -d' ' -f3 "/run/quickmig/vm/$(uuid "$2")/health") == 1 ]]
}

# Said as they are counted: a guest that missed one and has not answered yet.
metrics_tell() {
    local node misses
    node=$(vm_node vm1)
    say "metrics on $node"
    on "$node" crm_resource --resource node --set-parameter metrics \
        --parameter-value /run/quickmig.prom >/dev/null || die "parameter"
    cluster_idle
    read -r _ misses <<<"$(count "$node" vm1)"
    lab_wait_until 60 metrics_say "$node" in_a_row 1 || die "in a row"
    metrics_say "$node" total "$misses" || die "in all: $misses"
    on "$node" python3 "$QM_SRC/tests/cluster/openmetrics.py" \
        <"$QM_LAB_DIR/metrics" >/dev/null || die "not OpenMetrics"
    lab_wait_until 30 well "$node" vm1 || die "no answer any more"
}

metrics_say() { # NODE WHICH VALUE
    on "$1" quickmigd --survey &&
        on "$1" cat /run/quickmig.prom >"$QM_LAB_DIR/metrics" &&
        grep -qx "quickmig_vm_health_misses_$2{resource=\"vm1\"} $3" \
            "$QM_LAB_DIR/metrics"
}

# By Pacemaker: the monitor at level 10 beside the one at level 0.
pacemaker_watches() {
    local node
    node=$(vm_node vm1)
    on "$node" crm configure monitor vm1 4s:20s >/dev/null || die "crm monitor"
    on "$node" crm_resource --wait
    on "$node" cibadmin --query --xpath "//primitive[@id='vm1']//op[@interval='4s']" \
        >"$QM_LAB_DIR/op" || die "no operation"
    sed -i 's,/>,><instance_attributes id="vm1-level"><nvpair id="vm1-level-10" name="OCF_CHECK_LEVEL" value="10"/></instance_attributes></op>,' \
        "$QM_LAB_DIR/op"
    on "$node" cibadmin --modify --xml-file "$QM_LAB_DIR/op" || die "cibadmin"
    cluster_idle
    say "busy for one check: not touched"
    vm_remember vm1
    silence "$node" vm1 3500
    lab_wait_until 30 missed "$node" || die "no miss counted"
    lab_wait_until 30 well_again "$node" || die "no good answer afterwards"
    vm_same_boot vm1
    say "silent for good: booted anew"
    silence "$node" vm1 100000000
    lab_wait_until 60 rebooted || die "not recovered"
    cluster_idle
    vm_other_boot vm1
    node=$(vm_node vm1)
    grep -q 'it is not saved' "$QM_LAB_DIR"/nodes/*/log/quickmig/quickmig.log ||
        die "not for its health"
    # grep -q in a pipe may end crm_mon by SIGPIPE.
    grep -q 'vm1: .*fail-count=1' <<<"$(on "$node" crm_mon -1f)" ||
        die "fail-count: $(on "$node" crm_mon -1f)"
    lab_wait_until 30 well_again "$node" || die "no good answer afterwards"
    [[ $(fence_count n1)$(fence_count n2) == 00 ]] || die "a node was fenced"
}

missed() {
    [[ $(count "$1" vm1) == [12]" "* ]]
}

well_again() {
    [[ $(count "$1" vm1) == "0 "* ]] && has_answered "$1" vm1
}

rebooted() {
    [[ $(guest_boot_id vm1) != "${VM_BOOT[vm1]}" ]]
}

cluster_up 2
node_daemons_up
vm_create vm1 lun health_timeout=1 shutdown_timeout=10 -- --agent \
    --ip 10.77.0.101
vm_create vm2 lun -- --ip 10.77.0.102
vm_start vm1
vm_start vm2
lab_wait_until 30 well "$(vm_node vm1)" vm1 ||
    die "no answer after a boot: $(<"$QM_LAB_DIR/health.out") $(grep -a AGENT "$(guest_console vm1)")"
answers
no_channel
a_move_begins_anew
metrics_tell
pacemaker_watches
say "ok"
