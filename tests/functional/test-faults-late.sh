#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 60
#
# A write of the old owner that comes after the takeover.  With QEMU's built-in
# iSCSI driver it lands on top of the new owner's data (shown first: if not,
# this test shows nothing); behind a gate it does not: neither when the target
# is slow, nor when the old host is.

# shellcheck source-path=SCRIPTDIR source=gate-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/gate-functions.sh" || exit 1
# shellcheck source-path=SCRIPTDIR source=fault-functions.sh
. "$QM_SRC/tests/functional/fault-functions.sh" || exit 1
begin "$@"
slow=$QM_BUILD/tests/functional/.libs/slow-pwrite.so
requires_built "${slow#"$QM_BUILD/"}"
[[ $(qemu-io --help) == *image-opts* ]] || skip "qemu-io is too old"
export SLOW_MARK=$TMPDIR/late SLOW_MS=1500
tgt_kill
LD_PRELOAD=$slow tgt_start
luns

# A node whose QEMU has its own iSCSI driver.
built_in() { # NODE QEMU-IO-COMMAND...
    local node=$1 args=() c
    shift
    for c in "$@"; do
        args+=(-c "$c")
    done
    qemu-io --image-opts "driver=iscsi,transport=tcp,portal=$TGT_PORTAL,target=$IQN,lun=1,initiator-name=iqn.2026-01.org.example:$node" "${args[@]}"
}

first_byte() {
    head -c 1 lun1
}

late_is() { # begun|done
    [[ -e $SLOW_MARK.$1 ]]
}

# The old owner has sent Z, and the target has taken it off the wire.
begun() {
    wait_until 10 late_is "begun" || fail "no write under way"
    ! late_is "done" || fail "too slow a machine: nothing shown"
}

built_in n1 "read 0 4k" >out 2>&1 || skip "no iSCSI in this QEMU: $(<out)"

step "built-in driver, slow target: the old host dies, the late write lands"
rm -f "$SLOW_MARK".*
built_in n1 "write -P 0x5a 0 4k" >/dev/null 2>&1 &
old=$!
begun
kill -KILL "$old"
wait "$old" 2>/dev/null
built_in n2 "write -P 0x42 0 4k" flush >out 2>&1 || fail "new owner: $(<out)"
[[ $(first_byte) == B ]] || fail "the new owner's data are not there"
wait_until 10 late_is "done" || fail "the late write never came"
[[ $(first_byte) == Z ]] || fail "nothing shown: it did not land"

step "built-in driver, slow host: the late write lands"
mkfifo commands
built_in n1 <commands >old.out 2>&1 &
old=$!
exec 7>commands
echo "read 0 512" >&7
built_in n2 "write -P 0x42 0 4k" flush >out 2>&1 || fail "new owner: $(<out)"
[[ $(first_byte) == B ]] || fail "the new owner's data are not there"
rm -f "$SLOW_MARK".*
echo "write -P 0x5a 0 4k" >&7
exec 7>&-
wait "$old" || fail "the old owner: $(<old.out)"
[[ $(first_byte) == Z ]] || fail "nothing shown: it did not land"
shown "a late write of the old owner with QEMU's own iSCSI driver: lands"

takeover() { # LUN-TOOL STEP...
    other acquire "$@" write B 0 4096 flush check B 0 4096 >out ||
        fail "takeover: $(<out)"
}

client_killed() {
    wait "$client" 2>/dev/null
    [[ $? == 137 ]] || fail "the old owner's client was not killed"
    wait_until 10 state fenced || fail "the old gate is not fenced"
    [[ $(first_byte) == B ]] || fail "the late write landed"
}

step "gate, slow target: the takeover waits for it"
start
ready
rm -f "$SLOW_MARK".*
io "write -P 0x5a 0 4k" >/dev/null 2>&1 &
client=$!
begun
takeover exists "$SLOW_MARK.done"
client_killed
stop

step "gate, slow host: the target refuses it"
start
ready
qemu-io -f raw "$NBD" <commands >old.out 2>&1 &
client=$!
exec 7>commands
echo "write -P 0x61 0 512" >&7
wait_until 10 field_is writes 1 || fail "no write"
pid=$(field pid)
kill -STOP "$pid" # what it has not sent yet comes later
rm -f "$SLOW_MARK".*
echo "write -P 0x5a 0 4k" >&7
takeover
kill -CONT "$pid"
client_killed
exec 7>&-
! late_is "begun" || fail "the target took it"
stop
shown "a late write of the old owner behind a gate: never lands"
CLEANUP=()
echo PASS
