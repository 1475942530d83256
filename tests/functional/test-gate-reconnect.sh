#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The target restarts, hangs, or cannot be reached: the guest's requests wait,
# are sent again after the LUN was taken again, and nothing is lost; but only
# while this node still has the right to it.
# timeout: 300

# shellcheck source-path=SCRIPTDIR source=gate-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/gate-functions.sh" || exit 1
begin "$@"

restart() {
    tgt_kill
    tgt_start
    luns
}

copy() { # WRITTEN BEFORE: writes 64 MiB in about 4 s
    dd if=/dev/urandom of=source bs=1M count=64 status=none
    qemu-img convert -n -r 16M -f raw -O raw source "$NBD" >out 2>&1 &
    COPY=$!
    wait_until 5 field_over written_bytes "$1" || fail "no load"
}

copied() {
    wait "$COPY" || fail "the client saw an error: $(cat out)"
    cmp source lun1 || fail "something was lost"
}

step "target restarts, three times under load"
gate
ready
copy 0
for i in 1 2 3; do
    restart
    wait_until 10 field_is reconnects "$i" || fail "not back"
    state open || fail "not open"
    sleep 0.3 # of load between two restarts
done
copied

step "target hangs, longer than the gate believes in it"
written=$(field written_bytes)
copy "$written"
kill -STOP "$TGT_PID"
wait_until 15 state reconnecting || fail "hang not noticed"
began=$(date +%s%3N)
field state >/dev/null
[[ $(($(date +%s%3N) - began)) -lt 500 ]] || fail "status does not answer at once"
kill -CONT "$TGT_PID"
wait_until 15 state open || fail "not open again"
copied

step "network gap"
written=$(field written_bytes)
copy "$written"
ip link set lo down
wait_until 15 state reconnecting || fail "gap not noticed"
sleep 1 # that the gap lasts on
ip link set lo up
wait_until 15 state open || fail "not open again"
copied
[[ $(field reconnects) == 5 ]] || fail "$(field reconnects) reconnects"
stop

step "standby logs in again"
gate
restart
wait_until 10 logged "session with the target is lost, logging in again" ||
    fail "not noticed"
io "read 0 4k" | grep -q "1 ops" || fail "cannot read"
state standby || fail "not in standby"

step "holding stays holding"
hold
restart
wait_until 10 field_is reconnects 1 || fail "not back"
state holding || fail "not holding"

step "asked to drain while the session is away"
tool open vda
tgt_kill
wait_until 10 state reconnecting || fail "not noticed"
tool drain vda &
drain=$!
tgt_start
luns
wait "$drain" || fail "drain failed"
state drained || fail "not drained"
tool open vda || fail "cannot open"

step "no right any more: fenced, and the client killed"
qemu-img bench -w -f raw -c 100000000 -d 16 -s 4096 "$NBD" >bench.out 2>&1 &
client=$!
wait_until 5 field_over in_flight 0 || fail "no load"
tgt_kill
wait_until 10 state reconnecting || fail "not noticed"
record RUNNING 2 6
before=$(sha256sum <lun1)
tgt_start
luns
wait "$client" 2>/dev/null
[[ $? == 137 ]] || fail "the client was not killed"
wait_until 5 state fenced || fail "not fenced"
[[ $(field reason) == *"another node owns the VM"* ]] || fail "$(field reason)"
[[ $(sha256sum <lun1) == "$before" ]] || fail "wrote without the right"
stop

# Ticks of processor time that a process has taken, 100 a second.
cpu_ticks() { # PID
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}

step "another LUN in its place is not taken"
record RUNNING 1 5
gate '"reconnect_limit_s":5'
ready
tgt_kill
tgt_start
tgt_target 1 "$IQN"
tgt_lun 1 1 /run/smaller 32M
wait_until 10 logged "another LUN than before" || fail "not noticed"
state reconnecting || fail "not waiting"

step "the limit: fenced"
qemu-io -f raw -c "write 0 4k" "$NBD" >/dev/null 2>&1 &
client=$!
wait_until 15 state fenced || fail "not fenced"
wait "$client" 2>/dev/null
[[ $? == 137 ]] || fail "the client was not killed"
[[ $(field reason) == *"not taken again within 5 s: "*"another LUN"* ]] || fail "$(field reason)"

step "fenced, it sleeps"
busy=$(cpu_ticks "$(field pid)")
sleep 1 # what is measured
busy=$(($(cpu_ticks "$(field pid)") - busy))
[[ $busy -lt 20 ]] || fail "$busy of 100 ticks in a second"
stop

step "no cluster, no quorum: waits for it up to the limit"
restart
gate '"check_quorum":true,"reconnect_limit_s":3'
ready
restart
wait_until 10 state reconnecting || fail "not noticed"
wait_until 10 state fenced || fail "not fenced"
[[ $(field reason) == *corosync* ]] || fail "$(field reason)"
stop
CLEANUP=()
echo PASS
