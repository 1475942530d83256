#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Another node takes the LUN: the gate stops for good and kills its client;
# nothing of it reaches the LUN afterwards.

# shellcheck source-path=SCRIPTDIR source=gate-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/gate-functions.sh" || exit 1
begin "$@"
ROUNDS=5

step "a takeover does not hurt a standby"
start
other acquire write x 0 512 || fail "the other cannot acquire"
io "read -P 0x78 0 512" | grep -q "1 ops" || fail "standby cannot read"
state standby || fail "not in standby any more"

step "preempted under load, $ROUNDS times"
for ((round = 0; round < ROUNDS; round++)); do
    start || fail "no gate"
    ready
    qemu-img bench -w --pattern=65 -f raw -c 100000000 -d 16 -s 4096 "$NBD" \
        >bench.out 2>&1 &
    client=$!
    wait_until 5 field_over writes 1000 || fail "no load"
    other acquire write B 0 67108864 flush check B 0 67108864 ||
        fail "the other cannot write"
    wait "$client" 2>/dev/null
    [[ $? == 137 ]] || fail "the client was not killed: $(cat bench.out)"
    wait_until 5 state fenced || fail "not fenced"
    [[ $(tr -d B <lun1 | wc -c) == 0 ]] || fail "a late write"
    [[ $(field reason) != "" ]] || fail "no reason"
    tool acquire vda 5 && fail "a fenced gate acquired"
    tool open vda && fail "a fenced gate opened"
    timeout 5 nbdinfo "$NBD" >/dev/null 2>&1 && fail "a fenced gate serves"
    [[ $(tr -d B <lun1 | wc -c) == 0 ]] || fail "a late write"
done
logged 'error: VM "vm" on node .* lost disk vda .* for good' || fail "not logged"
logged "error: disk vda: QEMU \(process [0-9]+\) was killed" || fail "not logged"

step "an idle guest learns of it within two seconds"
start || fail "a fenced gate is not replaced"
state standby || fail "not replaced"
ready
qemu-io -f raw -c "write 0 4k" -c "sleep 60000" "$NBD" >/dev/null 2>&1 &
client=$!
wait_until 5 field_is writes 1 || fail "no write"
began=$(date +%s%3N)
other acquire || fail "the other cannot acquire"
wait "$client" 2>/dev/null
[[ $? == 137 ]] || fail "the client was not killed"
took=$(($(date +%s%3N) - began))
step "after $took ms"
[[ $took -lt 2000 ]] || fail "took $took ms"
state fenced || fail "not fenced"

step "one that holds writes back is fenced too"
start
hold
qemu-io -f raw -c "write -P 0x41 0 4k" "$NBD" >/dev/null 2>&1 &
client=$!
wait_until 5 field_is waiting 1 || fail "no write"
other acquire write B 0 4096 || fail "the other cannot acquire"
wait "$client" 2>/dev/null
[[ $? == 137 ]] || fail "the client was not killed"
[[ $(head -c 4096 lun1 | tr -d B | wc -c) == 0 ]] || fail "a late write"

step "taken after a drain, as in a move: no error is logged"
start
ready
qemu-io -f raw -c "write -P 0x41 0 4k" -c "sleep 60000" "$NBD" >/dev/null 2>&1 &
client=$!
wait_until 5 field_is writes 1 || fail "no write"
tool drain vda || fail "not drained"
lines=$(wc -l </run/gate.log)
other acquire check A 0 4096 || fail "the other cannot acquire"
wait "$client" 2>/dev/null
[[ $? == 137 ]] || fail "the client was not killed"
wait_until 5 state fenced || fail "not fenced"
logged 'notice: VM "vm" has left node .*: disk vda .*is on it' || fail "not logged"
tail -n "+$((lines + 1))" /run/gate.log | grep "error:" &&
    fail "an error is logged"

step "a client that is about to connect again is killed as well"
start
ready
python3 -c "
import socket, struct, time
s = socket.socket(socket.AF_UNIX); s.connect('$SOCK'); s.recv(18)
s.sendall(struct.pack('>I', 3) + b'IHAVEOPT' + struct.pack('>II', 1, 0)); s.recv(10)
s.close(); time.sleep(60)" &
client=$!
wait_until 5 logged "process [0-9]+ disconnected: client closed" || fail "connected?"
other acquire
wait "$client" 2>/dev/null
[[ $? == 137 ]] || fail "the client was not killed"

step "a client that left politely is left alone"
start
ready
python3 -c "
import socket, struct, time
s = socket.socket(socket.AF_UNIX); s.connect('$SOCK'); s.recv(18)
s.sendall(struct.pack('>I', 3) + b'IHAVEOPT' + struct.pack('>II', 1, 0)); s.recv(10)
s.sendall(struct.pack('>IHHQQI', 0x25609513, 0, 2, 0, 0, 0)); s.recv(1)
time.sleep(60)" &
client=$!
wait_until 5 logged "client disconnected"
other acquire
wait_until 5 state fenced || fail "not fenced"
gone "$client" && fail "it was killed"
kill "$client"

step "no right, no reservation"
record RUNNING 2 6
start
tool acquire vda 6 2>&1 | grep -q "refused.*another node owns" ||
    fail "acquired without the right"
[[ $(other state) == *514d0002* ]] || fail "the holder has changed"
record SAVED 1 7
tool acquire vda 7 2>&1 | grep -q "refused.*nobody owns" || fail "SAVED"
rm -r vault
tool acquire vda 7 2>&1 | grep -q "gate-tool: [a-z-]*: .*vault" || fail "no vault"
state standby || fail "not in standby"
stop
CLEANUP=()
echo PASS
