#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# What QEMU and other NBD clients get from a gate: handshake, data, flush and
# FUA, every size and alignment; what the gate's states let through.

# shellcheck source-path=SCRIPTDIR source=gate-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/gate-functions.sh" || exit 1
begin "$@"

bad() { # QEMU-IO COMMAND: fails, and the gate lives on
    ! io "$1" | grep -q "ops;" || fail "succeeded: $1"
    field state >/dev/null || fail "the gate is gone after: $1"
}

step "start, twice"
start || fail "no gate"
pid=$(field pid)
start || fail "the second start failed"
[[ $(field pid) == "$pid" && $(pgrep -cx quickmig-gate) == 1 ]] ||
    fail "two gates"
state standby || fail "not in standby"

step "handshake"
nbdinfo --json "$NBD" >info || fail "nbdinfo"
jq -e '.protocol == "newstyle-fixed" and .exports[0]["export-size"] == 67108864
    and .exports[0].block_minimum == 512 or .exports[0].block_size_minimum == 512' \
    info >/dev/null || fail "$(cat info)"
jq -e '.exports[0] | .can_fua and .can_flush and .can_multi_conn and
    (.is_read_only | not)' info >/dev/null || fail "$(cat info)"
nbdinfo --list "$NBD" >/dev/null || fail "nbdinfo --list"

step "standby: reads and flushes pass, writes wait"
printf 'on the LUN' | dd of=lun1 conv=notrunc status=none
io "read -v 0 16" flush | grep -q "on.the.LUN" || fail "cannot read in standby"
tool open vda && fail "opened without the reservation"
qemu-io -f raw -c "write -P 0x55 1M 4k" "$NBD" >late 2>&1 &
writer=$!
wait_until 5 field_is waiting 1 || fail "the write does not wait"
before=$(sha256sum <lun1)
tool acquire vda 4 hold && fail "acquired for another generation"
wait_until 5 state standby || fail "not back in standby"
tool acquire vda 5 hold || fail "cannot acquire"
state holding || fail "not holding"
tool acquire vda 5 hold || fail "acquire is not idempotent"
[[ $(field waiting) == 1 && $(sha256sum <lun1) == "$before" ]] ||
    fail "holding let a write through"
tool open vda || fail "cannot open"
wait "$writer" || fail "the writer failed"
grep -q "4 KiB, 1 ops" late || fail "$(cat late)"
io "read -P 0x55 1M 4k" | grep -q "1 ops" || fail "the write is not there"

step "sizes and alignments"
for size in 512 1k 4k 64k 256k 1M 8M 32M; do
    io "write -P 0x11 0 $size" "read -P 0x11 0 $size" >out || fail "$size"
    [[ $(grep -c "1 ops" out) == 2 && $(<out) != *failed* ]] ||
        fail "$size: $(cat out)"
done
io "write -f -P 0x12 4k 4k" flush "read -P 0x12 4k 4k" "read -P 0x11 8k 4k" \
    >out || fail "FUA"
[[ $(grep -c "1 ops" out) == 3 && $(<out) != *failed* ]] || fail "$(cat out)"
head -c 4096 /dev/zero | tr '\0' '\022' | cmp - <(dd if=lun1 bs=4k skip=1 \
    count=1 status=none) || fail "FUA data is not in the file"

step "what is wrong gets an error, or the end of its connection"
python3 - "$SOCK" <<'PYTHON' || fail "raw protocol"
import socket, struct, sys

def rx(s, n):
    b = b''
    while len(b) < n:
        c = s.recv(n - len(b))
        if not c:
            raise EOFError
        b += c
    return b

def conn():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(sys.argv[1])
    assert rx(s, 18)[:16] == b'NBDMAGICIHAVEOPT'
    s.sendall(struct.pack('>I', 3) + b'IHAVEOPT' + struct.pack('>II', 1, 0))
    assert struct.unpack('>Q', rx(s, 10)[:8])[0] == 64 << 20
    return s

def req(s, cmd, off, n, flags=0, data=b'', cookie=7):
    s.sendall(struct.pack('>IHHQQI', 0x25609513, flags, cmd, cookie, off, n) + data)

def rep(s, n=0):
    m, e, c = struct.unpack('>IIQ', rx(s, 16))
    assert m == 0x67446698 and c == 7
    return e, (rx(s, n) if e == 0 else b'')

s = conn()
for cmd, off, n, flags, want in [
        (0, 1, 512, 0, 22), (0, 0, 100, 0, 22), (0, 64 << 20, 512, 0, 22),
        (0, 0, 0, 0, 22), (4, 0, 512, 0, 22), (99, 0, 0, 0, 22),
        (0, 0, 512, 0x40, 22), (3, 512, 0, 0, 22), (0, 2**64 - 512, 512, 0, 22)]:
    req(s, cmd, off, n, flags)
    assert rep(s)[0] == want, (cmd, off, n)
req(s, 1, 100, 100, 0, b'x' * 100)
assert rep(s)[0] == 22
req(s, 1, (64 << 20) - 512, 1024, 0, b'x' * 1024)
assert rep(s)[0] == 28
req(s, 0, 4096, 4096)
assert rep(s, 4096) == (0, b'\x12' * 4096)
# 200 reads at once, far more than a QEMU sends, answered each
for i in range(200):
    req(s, 0, 0, 65536)
for i in range(200):
    assert rep(s, 65536)[0] == 0
for bad in (b'\0' * 28, struct.pack('>IHHQQI', 0x25609513, 0, 1, 7, 0, (32 << 20) + 512)):
    t = conn()
    t.sendall(bad)
    assert t.recv(1) == b''
s.close()
PYTHON
bad "read 64M 4k"
wait_until 5 field_is client_pid 0 || fail "a client is left"

step "a whole disk, in and out, over several connections"
dd if=/dev/urandom of=source bs=1M count=64 status=none
nbdcopy source "$NBD" || fail "nbdcopy to the gate"
cmp source lun1 || fail "the LUN is not the source"
nbdcopy --connections 4 "$NBD" copy || fail "nbdcopy from the gate"
cmp source copy || fail "the copy is not the source"

step "many small requests at a time, which share commands"
dd if=/dev/urandom of=source bs=1M count=64 status=none
nbdcopy --request-size=4096 --requests=64 source "$NBD" || fail "nbdcopy 4k in"
cmp source lun1 || fail "the LUN is not the source"
rm copy
nbdcopy --request-size=4096 --requests=64 "$NBD" copy || fail "nbdcopy 4k out"
cmp source copy || fail "the copy is not the source"

step "one process only"
python3 -c "
import socket, time
s = socket.socket(socket.AF_UNIX); s.connect('$SOCK'); s.recv(18); time.sleep(60)" &
holder=$!
wait_until 5 field_is clients 1 || fail "not connected"
timeout 5 nbdinfo "$NBD" >/dev/null 2>&1 && fail "a second process got in"
control '{"do":"quit"}' | jq -e '.ok == false and .error == "busy"' >/dev/null ||
    fail "quit was not refused"
[[ $(field client_pid) == "$holder" ]] || fail "client_pid is wrong"
kill "$holder"
wait_until 5 field_is client_pid 0 || fail "a client is left"

step "drain"
qemu-img bench -w -f raw -c 20000 -d 16 -s 4096 "$NBD" >bench.out 2>&1 &
writer=$!
wait_until 5 field_over in_flight 0 || fail "no load"
tool drain vda || fail "cannot drain"
state drained || fail "not drained"
[[ $(field in_flight) == 0 ]] || fail "something is in flight"
before=$(sha256sum <lun1)
tool drain vda || fail "drain is not idempotent"
[[ $(sha256sum <lun1) == "$before" ]] || fail "a write after the drain"
tool open vda || fail "cannot open again"
wait "$writer" || fail "bench: $(cat bench.out)"

step "another generation is another acquire"
record RUNNING 1 6
tool acquire vda 6 hold || fail "cannot acquire generation 6"
state holding || fail "not holding"
tool open vda || fail "cannot open"
io "write 0 4k" | grep -q "1 ops" || fail "cannot write"
stop
[[ ! -e $SOCK && ! -e $CONTROL ]] || fail "sockets are left"
stop # no gate: success

step "blocks of 4096 bytes"
truncate -s 64M lun2
tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 2 \
    --backing-store /run/lun2 --blocksize 4096 || fail "no LUN 2"
LUN=2 gate
record RUNNING 1 5
ready
nbdinfo --json "$NBD" | jq -e '[.exports[0][]] | index(4096)' >/dev/null ||
    fail "no blocks of 4096"
io "write -P 0x31 4k 4k" "read -P 0x31 4k 4k" "write -P 0x32 512 512" \
    "read -P 0x32 512 512" >out || fail "4096" # qemu-io aligns by itself
[[ $(grep -c "1 ops" out) == 4 && $(<out) != *failed* ]] || fail "$(cat out)"
stop

step "read only"
before=$(other state | tail -n +2)
gate '"read_only":true'
nbdinfo --json "$NBD" | jq -e '.exports[0].is_read_only' >/dev/null ||
    fail "not read only"
tool acquire vda 5 || fail "acquire of a read-only disk"
qemu-io -r -f raw -c "read 0 4k" "$NBD" | grep -q "1 ops" || fail "cannot read"
qemu-io -f raw -c "write 0 4k" "$NBD" >out 2>&1 && fail "could write: $(cat out)"
[[ $(other state | tail -n +2) == "$before" ]] || fail "a read-only gate reserves"
stop
CLEANUP=()
echo PASS
