#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 120
#
# A LUN that answers with errors: what reaches the guest is what a disk would
# report, nothing that was not written counts as written, and only what says
# that another node has the LUN ends the gate.  A LUN that has grown, one that
# has become another, and one that cannot be reserved.

# shellcheck source-path=SCRIPTDIR source=gate-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/gate-functions.sh" || exit 1
# shellcheck source-path=SCRIPTDIR source=fault-functions.sh
. "$QM_SRC/tests/functional/fault-functions.sh" || exit 1
begin "$@"
fault_start

# A gate that reaches its LUN through the faults.
faulty_gate() { # MORE
    TGT_PORTAL=$FAULTY gate "$@"
}

first_byte() {
    head -c 1 lun1 | tr '\0' 0
}

# The client of one command sees this error.
sees() { # ERROR QEMU-IO-COMMAND
    io "$2" >out 2>&1 || true
    grep -q "failed: $1" out || fail "\"$2\": expected \"$1\": $(<out)"
}

works() { # QEMU-IO-COMMAND...
    io "$@" >out 2>&1 || fail "$*: $(<out)"
}

restart() {
    tgt_kill
    tgt_start
    luns
}

# Nobody may log in before it is as it shall be.
restart_as() { # SERIAL
    tgt_kill
    tgt_start
    tgtadm --lld iscsi --op new --mode target --tid 1 --targetname "$IQN" ||
        fail "no target"
    tgt_lun 1 1 /run/lun1 96M
    tgtadm --lld iscsi --op update --mode logicalunit --tid 1 --lun 1 \
        --params "scsi_sn=$1" || fail "no serial"
    tgtadm --lld iscsi --op bind --mode target --tid 1 \
        --initiator-address ALL || fail "nobody may log in"
}

step "errors of the medium reach the guest, and end nothing"
faulty_gate
ready
works "write -P 0x61 0 4k" # a
while read -r error sense command; do
    faults "${command%% *} 0 1 $sense"
    sees "${error//_/ }" "$command"
    faults_hit 1 || fail "$sense: not asked once: $(<"$FAULT_LOG")"
    [[ $(first_byte) == a ]] || fail "$sense: it was written"
    reason="sense ${sense%%/*}/${sense#*/}"
    field reason | grep -q "$reason" || fail "no reason: $(field reason)"
    logged "disk vda: .*$reason" || fail "$sense: not logged"
    works "$command" "write -P 0x61 0 4k"
done <<'CASES'
No_space_left_on_device 7/27/07 write -P 0x62 0 4k
Input/output_error 3/0c/00 write -P 0x62 0 4k
Input/output_error 4/44/00 write -P 0x62 0 4k
Input/output_error 7/27/00 write -P 0x62 0 4k
Input/output_error 5/21/00 write -P 0x62 0 4k
Input/output_error 3/11/00 read 0 4k
CASES
[[ $(field errors) == 6 ]] || fail "$(field errors) errors"
state open || fail "not open"

step "a flush that fails is no success"
faults "flush 0 1 3/0c/03"
! io "write -P 0x61 0 4k" flush >out 2>&1 || fail "the flush succeeded"
logged "disk vda: flush .*sense 3/0c/03" || fail "not logged"
[[ $(field errors) == 7 ]] || fail "$(field errors) errors"
shown "07/27, medium, hardware and flush errors: the guest gets ENOSPC or EIO," \
    "nothing counts as written"

step "what a target says in passing is not seen"
errors=$(field errors)
for answer in 6/2a/09 6/2a/01 6/3f/0e 6/3f/03 6/38/07 b/47/00 2/04/01 \
    status=08 status=28; do
    faults "write 0 3 $answer"
    works "write -P 0x63 0 4k"
    faults_hit 3 || fail "$answer: not sent four times"
    [[ $(first_byte) == c ]] || fail "$answer: not written"
    works "write -P 0x61 0 4k"
done
[[ $(field errors) == "$errors" ]] || fail "seen as errors"
state open || fail "not open"
stop
shown "unit attentions (2A/09, 3F/0E, …), BUSY, TASK SET FULL: sent again," \
    "unseen by the guest"

step "what says that another has the LUN ends it"
for answer in 6/2a/03 6/2a/04 6/2a/05 6/29/00 status=18 status=40; do
    faults
    faulty_gate
    ready
    works "write -P 0x61 0 4k"
    faults "write 0 always $answer"
    io "write -P 0x64 0 4k" >/dev/null 2>&1 &
    client=$!
    wait_until 10 state fenced || fail "$answer: not fenced"
    wait "$client" 2>/dev/null
    [[ $? == 137 ]] || fail "$answer: the client was not killed"
    [[ $(first_byte) == a ]] || fail "$answer: it was written"
    stop
done
faults

step "the LUN grows: the guest goes on"
faulty_gate
ready
works "write -P 0x61 0 4k"
truncate -s 96M lun1
restart
wait_until 15 field_is reconnects 1 || fail "not back: $(field reason)"
state open || fail "not open"
field_is size $((96 << 20)) || fail "$(field size) bytes"
works "write -P 0x65 0 4k" "read -P 0x65 0 4k"
stop
shown "LUN grown while its target restarts: the guest goes on"

step "another LUN of the same size behind its name: not taken"
faulty_gate '"reconnect_limit_s":3'
ready
restart_as another
wait_until 10 state fenced || fail "not fenced"
[[ $(field reason) == *"another LUN"* ]] || fail "$(field reason)"
other state | grep -q holder=0000000000000000 || fail "it was reserved"
stop
restart
shown "another LUN behind the same name: not written to, not reserved"

step "another VM's vault in place of ours: no right to the disk"
other_uuid=00000000-0000-0000-0000-000000000002
faulty_gate "\"vm_uuid\":\"$other_uuid\""
control_of_other=${CONTROL/$UUID/$other_uuid}
tool ask "$control_of_other" '{"do":"acquire","generation":5}' >out
grep -q "belongs to VM" out || fail "$(<out)"
tool ask "$control_of_other" '{"do":"quit"}' >/dev/null
other state | grep -q holder=0000000000000000 || fail "it was reserved"
shown "another VM's vault behind the vault's name: no disk is taken"

no_reservations() {
    faults "prin 0 always 5/20/00" "prout 0 always 5/20/00"
}

step "a target without reservations is refused"
no_reservations
faulty_gate
tool acquire vda 5 2>out && fail "it was taken"
grep -q "persistent reservations.*allow_unfenced" out || fail "$(<out)"
state standby || fail "not in standby"
stop

step "unless that is allowed"
faulty_gate '"allow_unfenced":true'
ready
field_is unfenced true || fail "it does not say so"
logged "UNFENCED" || fail "not logged"
works "write -P 0x66 0 4k"
sleep 1.2 # one look at the reservation, if there were one
state open || fail "not open"
restart
wait_until 15 field_is reconnects 1 || fail "not back: $(field reason)"
works "write -P 0x67 0 4k" "read -P 0x67 0 4k"
stop
faults

step "and where it can be reserved, it is"
faulty_gate '"allow_unfenced":true'
ready
field_is unfenced false || fail "unfenced"
other state | grep -q "holder=514d0001" || fail "not reserved"
stop
shown "a target without reservations: refused; with allow_unfenced taken," \
    "and called UNFENCED"
CLEANUP=()
echo PASS
