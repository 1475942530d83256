#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# Live moves under memory and disk write load, there and back: same boot,
# memory intact (full passes of the pattern before and after), disk log
# unbroken, every time.  Then what may go wrong on the way: the target's worker
# killed in each phase, the source's agent killed, the storage away for a
# while, a guest that never converges, two VMs that pass each other.  And quick
# moves: memory is copied once while the guest runs, or less where the vault has
# no room for it twice.
#
#   test-live.sh [MOVES]    how many moves there and back (default 4; 20 by hand)
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
MOVES=${1:-4}

logs() {
    cat "$QM_LAB_DIR"/nodes/*/log/quickmig/quickmig.log
}

count() { # PATTERN
    logs | grep -c "$1" || true
}

_more() { # PATTERN COUNT
    [[ $(count "$1") -gt $2 ]]
}

# Asks for the move, and leaves the machine alone meanwhile.
ask() { # VM NODE
    on "$2" crm_resource --move -r "$1" -N "$2" >/dev/null 2>&1 ||
        die "crm_resource --move $1 $2"
}

clear() { # VM
    on n3 crm_resource --clear -r "$1" >/dev/null 2>&1 || true
}

other_of() { # VM
    [[ $(vm_node "$1") == n1 ]] && echo n2 || echo n1
}

arrive() { # VM NODE
    vm_wait_node "$1" "$2" 120
    clear "$1"
    cluster_idle
    vm_same_boot "$1"
}

move() { # VM NODE
    vm_remember "$1"
    ask "$1" "$2"
    arrive "$1" "$2"
}

there_and_back() {
    local i live
    live=$(count 'mode: live')
    for ((i = 1; i <= MOVES; i++)); do
        move vm1 "$(other_of vm1)"
        say "move $i of $MOVES: $(logs | grep 'resume: guest runs' | sort |
            tail -n 1 | sed 's/.*paused for/paused for/')"
    done
    [[ $(count 'mode: live') == $((live + MOVES)) ]] || die "not live"
    [[ $(count 'receive: resume') -ge $MOVES ]] ||
        die "the target did not follow: $(count 'receive: resume') of $MOVES"
}

# The worker is an optimisation: with it killed the move ends well.
worker_killed() { # PHASE LOG-LINE
    local to seen
    to=$(other_of vm1)
    say "the target's worker is killed: $1"
    vm_remember vm1
    seen=$(count "$2")
    ask vm1 "$to"
    lab_wait_until 30 _more "$2" "$seen" || die "never seen: $2"
    on "$to" pkill -KILL -f 'quickmigd --receive' || say "it had ended already"
    arrive vm1 "$to"
}

daemon_frozen() {
    local to
    to=$(other_of vm1)
    say "the target's quickmigd is frozen"
    on "$to" pkill -STOP -x quickmigd
    move vm1 "$to"
    on "$to" pkill -CONT -x quickmigd
}

daemon_gone() {
    local to
    to=$(other_of vm1)
    say "no quickmigd on the target"
    on "$to" pkill -KILL -x quickmigd
    move vm1 "$to"
    on "$to" quickmigd
}

# The guest keeps its memory, wherever it ends up.
agent_killed() { # LOG-LINE
    local from to seen
    from=$(vm_node vm1)
    to=$(other_of vm1)
    say "the source's migrate_to is killed: $1"
    vm_remember vm1
    seen=$(count "$1")
    ask vm1 "$to"
    lab_wait_until 30 _more "$1" "$seen" || die "never seen: $1"
    on "$from" pkill -KILL -f 'quickmig/VirtualMachine migrate_to' ||
        say "it had ended already"
    cluster_idle 120
    clear vm1
    cluster_idle
    vm_same_boot vm1
}

storage_away() {
    local to seen
    to=$(other_of vm1)
    say "the storage is away for 3 s in the middle"
    vm_remember vm1
    seen=$(count 'RUNNING -> SAVING')
    ask vm1 "$to"
    lab_wait_until 30 _more 'RUNNING -> SAVING' "$seen" || die "no move"
    lab cut "$to" storage
    sleep 3 # as long as the test says
    lab heal "$to" storage
    cluster_idle 120
    clear vm1
    cluster_idle
    vm_same_boot vm1
}

never_converges() {
    local to
    to=$(other_of vm2)
    say "a guest that never converges is paused at last"
    move vm2 "$to"
    logs | grep 'live: the guest is suspended' | tail -n 1 ||
        die "it was not suspended"
}

quick() { # VM REASON
    local seen
    seen=$(count "live: the guest is suspended: $2")
    move "$1" "$(other_of "$1")"
    _more "live: the guest is suspended: $2" "$seen" || die "not: $2"
}

copied_once() {
    say "quick: the guest runs while its memory is copied once"
    on n3 crm_resource -r vm2 -p mode -v quick >/dev/null
    cluster_idle
    quick vm2 "its memory has been copied once"
}

small_vault() {
    say "a vault without room for the memory twice"
    VAULT_SIZE=280M vm_create vm3 lun -- --ip 10.77.0.103 --live-safe \
        --memory 192 --fill 120
    vm_start vm3
    quick vm3 "the vault has no room for more"
    logs | grep 'mode: quick: the vault has room' || die "not quick"
}

pass_each_other() {
    local a b
    say "two VMs pass each other"
    a=$(vm_node vm1)
    b=$(other_of vm1)
    [[ $(vm_node vm2) == "$b" ]] || move vm2 "$b"
    vm_remember vm1
    vm_remember vm2
    ask vm1 "$b"
    ask vm2 "$a"
    arrive vm1 "$b"
    arrive vm2 "$a"
}

cluster_up 3
for node in n1 n2 n3; do
    on $node quickmigd
done
VAULT_SIZE=1G vm_create vm1 lun mode=live -- --ip 10.77.0.101 --live-safe --fill 64 \
    --dirty 10
vm_start vm1
[[ $(vm_node vm1) != n3 ]] || vm_move vm1 n1
there_and_back
worker_killed "it follows" 'target: .* is ready'
worker_killed "the guest is paused" 'live: the copy converged'
worker_killed "it takes over" 'record: SAVED -> RESTORING'
daemon_frozen
daemon_gone
agent_killed 'RUNNING -> SAVING'
agent_killed 'SAVING -> SAVED'
storage_away
VAULT_SIZE=2G vm_create vm2 lun mode=live downtime_limit=30 -- \
    --ip 10.77.0.102 --live-safe --memory 256 --fill 160 --dirty 400
vm_start vm2
[[ $(vm_node vm2) != n3 ]] || vm_move vm2 n1
never_converges
copied_once
small_vault
pass_each_other
say "ok"
