#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 500
#
# quickmig move, jobs and cancel: a move that was copied ahead, with its
# progress seen from another node; a move cancelled while it is copied ahead,
# while Pacemaker waits for it (live and quick), and by interrupting quickmig
# move: the guest runs on where it was, without stop or start, and no
# constraint is left.  After the commit it is too late.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

begun() { # ACTION
    cat "$QM_LAB_DIR"/nodes/*/log/pacemaker/pacemaker.log |
        grep -c "local execution of $1 operation for vm1" || true
}

wishes() {
    on n3 cibadmin --query --local --scope constraints |
        grep -c 'id="cli-' || true
}

remember() {
    vm_remember vm1
    STARTS=$(begun start) STOPS=$(begun stop) HERE=$(vm_node vm1)
    THERE=$([[ $HERE == n1 ]] && echo n2 || echo n1)
}

undisturbed() {
    vm_wait_node vm1 "$HERE"
    vm_same_boot vm1
    # Pacemaker looks once more when migrate_to has ended.
    vm_wait_node vm1 "$HERE"
    [[ $(begun start) == "$STARTS" && $(begun stop) == "$STOPS" ]] ||
        die "it was stopped or started"
    [[ $(wishes) == 0 ]] || die "a constraint is left"
    [[ $(on "$HERE" virsh -q migrate-getspeed vm1) == "$SPEED" ]] ||
        die "it would migrate slowly"
    [[ $(vm_record vm1 state) == RUNNING ]] || die "record"
    say "undisturbed on $HERE"
}

job() { # FIELD
    on n3 quickmig jobs --json vm1 | jq -r ".jobs[0].$1"
}

_phase_is() { # PHASE
    [[ $(job phase) == "$1" ]]
}

copied_ahead() {
    local result
    remember
    say "--- quickmig move, copied ahead"
    result=$(on "$HERE" quickmig move vm1 "$THERE" --json) || die "quickmig move"
    echo "$result" | tr -d '\n '
    echo
    [[ $(jq -r .moved <<<"$result") == true ]] || die "not moved"
    [[ $(jq -r .pause_ms <<<"$result") -gt 0 ]] || die "no pause was measured"
    cluster_idle
    [[ $(vm_node vm1) == "$THERE" ]] || die "vm1 is on $(vm_node vm1)"
    vm_same_boot vm1
    [[ $(wishes) == 0 ]] || die "a constraint is left"
    grep -q 'migrate_to: precopy: asked to come to the end' \
        "$QM_LAB_DIR/nodes/$HERE/log/quickmig/quickmig.log" ||
        die "it was not copied ahead"
    say "migrate_to: $(grep 'migrate_to done' \
        "$QM_LAB_DIR/nodes/$HERE/log/quickmig/quickmig.log" |
        tail -n 1 | sed 's/.*: info: //')"
}

# Slow storage, so that there is time.
slow() {
    lab limit "$HERE" 100mbit storage
}

fast() {
    lab limit "$HERE" none storage
}

_shown() {
    grep -q "quickmig-moving-vm1 .*: to $THERE" <<<"$(on n3 crm_mon -1A)"
}

# Pacemaker writes it down a moment after it was told.
_hidden() {
    ! _shown
}

# A row of the table: the progress bar follows the phase.
_watched() { # PHASE
    grep -Eq "^vm1 +$HERE +$THERE +live +$1 +\[#*\.*\] +[0-9]+ %" \
        "$QM_LAB_DIR/watch.out"
}

cancel_copying() {
    local moving watching
    remember
    say "--- cancelled while it is copied ahead"
    slow
    on "$HERE" quickmig move vm1 "$THERE" >"$QM_LAB_DIR/move.out" 2>&1 &
    lab_wait_until 30 _phase_is copy || die "it does not copy"
    moving=$!
    on n3 quickmig jobs --watch --until-done vm1 >"$QM_LAB_DIR/watch.out" &
    watching=$!
    lab_wait_until 10 _watched copy || die "jobs --watch does not show it"
    lab_wait_until 5 _shown || die "crm_mon does not show it"
    on n3 quickmig cancel vm1 || die "quickmig cancel"
    ! wait $moving || die "the move went well"
    cat "$QM_LAB_DIR/move.out"
    wait $watching || die "jobs --until-done: exit code $?"
    tail -n 4 "$QM_LAB_DIR/watch.out"
    lab_wait_until 5 _hidden || die "crm_mon still shows it"
    fast
    undisturbed
}

cancel_plain() { # PHASE
    remember
    say "--- crm resource move, cancelled in phase $1"
    slow
    on n3 crm_resource --move -r vm1 -N "$THERE" >/dev/null 2>&1
    lab_wait_until 30 _phase_is "$1" || die "no phase $1: $(job phase)"
    on n3 quickmig cancel vm1 --json | tee "$QM_LAB_DIR/cancel.out" ||
        die "quickmig cancel"
    jq -e ".cancelled and .node == \"$HERE\"" "$QM_LAB_DIR/cancel.out" \
        >/dev/null || die "what it says"
    fast
    undisturbed
}

interrupted() {
    local pid
    remember
    say "--- quickmig move, interrupted"
    slow
    on "$HERE" quickmig move vm1 "$THERE" --no-precopy \
        >"$QM_LAB_DIR/move.out" 2>&1 &
    lab_wait_until 30 _phase_is copy || die "it does not copy"
    pid=$(on "$HERE" pgrep -f 'quickmig move vm1')
    on "$HERE" kill -INT "$pid"
    ! wait $! || die "the move went well"
    cat "$QM_LAB_DIR/move.out"
    fast
    undisturbed
}

too_long() {
    remember
    say "--- quickmig move, longer than its --timeout"
    slow
    ! on "$HERE" quickmig move vm1 "$THERE" --no-precopy --timeout 2 \
        >"$QM_LAB_DIR/move.out" 2>&1 || die "the move went well"
    cat "$QM_LAB_DIR/move.out"
    grep -q 'took longer than its --timeout' "$QM_LAB_DIR/move.out" ||
        die "it was not cancelled for that"
    fast
    undisturbed
}

this_time_quick() {
    remember
    say "--- quickmig move --mode quick, of a VM that moves live"
    on n3 quickmig move vm1 "$THERE" --mode quick 2>&1 || die "quickmig move"
    [[ $(wishes) == 0 ]] || die "a constraint is left"
    cluster_idle
    [[ $(vm_node vm1) == "$THERE" ]] || die "vm1 is on $(vm_node vm1)"
    vm_same_boot vm1
    grep 'migrate_to: mode: ' \
        "$QM_LAB_DIR/nodes/$HERE/log/quickmig/quickmig.log" |
        tail -n 1 | grep 'mode: quick: mode=quick' ||
        die "it was not quick"
    ! on "$HERE" attrd_updater --query --name quickmig-mode-vm1 2>/dev/null |
        grep -q 'value="quick"' || die "the mode is left"
}

# The target's link is slow, the source's is not: from where the guest is paused
# on nobody waits for the target, and the image is committed seconds before that
# one has read it. The source may have ended before it is asked.
_committed() {
    [[ $(vm_record vm1 state) == SAVED ]]
}

cancel_too_late() {
    local code=0 said
    remember
    say "--- cancelled after the commit"
    lab limit "$THERE" 100mbit storage
    on n3 crm_resource --move -r vm1 -N "$THERE" >/dev/null 2>&1
    lab_wait_until 30 _committed || die "not committed"
    said=$(on n3 quickmig cancel vm1 --json 2>/dev/null) || code=$?
    lab limit "$THERE" none storage
    echo "$said"
    [[ $code -eq 4 ]] || die "exit code $code instead of 4"
    jq -e '.error.message | test("too late")' <<<"$said" >/dev/null ||
        die "it does not say why"
    vm_wait_node vm1 "$THERE"
    on n3 crm_resource --clear -r vm1 >/dev/null
    cluster_idle
    vm_same_boot vm1
}

nothing_to_cancel() {
    local code=0
    on n3 quickmig cancel vm1 || code=$?
    [[ $code -eq 3 ]] || die "exit code $code instead of 3"
}

cluster_up 3
for node in n1 n2 n3; do
    on $node quickmigd
done
VAULT_SIZE=1G vm_create vm1 lun mode=live compress=none -- --ip 10.77.0.101 \
    --live-safe --fill 64 --dirty 5
vm_start vm1
SPEED=$(on "$(vm_node vm1)" virsh -q migrate-getspeed vm1)
[[ $(vm_node vm1) != n3 ]] || vm_move vm1 n1
copied_ahead
nothing_to_cancel
cancel_copying
cancel_plain copy
interrupted
too_long
this_time_quick
on n3 crm_resource -r vm1 -p mode -v quick >/dev/null
cluster_idle
cancel_plain paused
cancel_too_late
copied=$(on n3 quickmig history vm1 | tail -n 4)
say "$copied"
say "ok"
