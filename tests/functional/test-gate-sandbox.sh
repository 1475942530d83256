#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# What a gate gives up once it serves, and that it works without: it serves,
# connects again, drains, fences a QEMU of another user, quits.  A call that
# only an intruder makes kills it, with a line in the log.

# shellcheck disable=SC2119,SC2016 # gate needs no arguments; $sp is gdb's
# shellcheck source-path=SCRIPTDIR source=gate-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/gate-functions.sh" || exit 1
begin "$@"
requires gdb

status_of() { # PID FIELD
    sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

is() { # WHAT FOUND WANTED
    [[ $2 == "$3" ]] || fail "$1: $2 instead of $3"
}

step "what is left of it"
gate
pid=$(field pid)
for set in CapEff CapPrm; do # CAP_KILL
    is $set "$(status_of "$pid" $set)" 0000000000000020
done
is CapInh "$(status_of "$pid" CapInh)" 0000000000000000
is NoNewPrivs "$(status_of "$pid" NoNewPrivs)" 1
is Seccomp "$(status_of "$pid" Seccomp)" 2
for task in /proc/"$pid"/task/*; do
    grep -q '^Seccomp:[[:space:]]*2' "$task/status" || fail "a thread is free"
done
! logged 'without a sandbox' || fail "it says that it has none"

step "it serves, and connects again"
ready
io "write -P 7 0 64k" | grep -q "1 ops" || fail "cannot write"
tgt_kill
io "read -P 7 0 64k" >io.out 2>&1 &
reader=$!
wait_until 10 state reconnecting || fail "not noticed: $(field state)"
tgt_start
luns
wait "$reader" || fail "not read after the target came back: $(cat io.out)"
! grep -q "Pattern verification failed" io.out || fail "other data"

step "it drains, and quits"
tool drain vda || fail "cannot drain"
state drained || fail "$(field state)"
stop
wait_until 5 gone "$pid" || fail "it did not end"

step "it fences a process of another user"
configuration | sed 's/"qemu_uid":0,/"qemu_uid":12345,/' >json
"$QM_GATE_PROGRAM" <json >report || fail "no gate"
ready
chmod 755 /run/quickmig /run/quickmig/gate
setpriv --reuid 12345 --regid 12345 --clear-groups \
    qemu-img bench -w -f raw -c 100000000 -d 4 "$NBD" >/dev/null 2>&1 &
client=$!
wait_until 5 field_is clients 1 || fail "no client"
victim=$(pgrep -u 12345 -x qemu-img) || fail "no process of that user"
other acquire || fail "node 2 cannot take the LUN"
wait_until 10 gone "$victim" || fail "not fenced"
wait "$client" 2>/dev/null
stop

# The call is made in the gate's main thread, as whoever got in would.
forbidden() { # WHAT EXPRESSION
    step "forbidden: $1"
    gate
    pid=$(field pid)
    : >/run/gate.log
    gdb -q -batch -p "$pid" -ex 'handle SIGSYS nostop noprint pass' \
        -ex "print $2" >gdb.out 2>&1
    wait_until 5 gone "$pid" || fail "it lives: $(cat gdb.out)"
    logged "^quickmig-gate\[0*$pid\]: error: system call [0-9]+ is forbidden" ||
        fail "no last words: $(cat /run/gate.log gdb.out)"
}

forbidden "another program" \
    '((int (*)(const char *, void *, void *)) execve)("/bin/true", 0, 0)'
forbidden "another process" '((int (*)(void)) fork)()'
forbidden "another user" '((int (*)(unsigned)) setuid)(12345)'
forbidden "memory to write and run" \
    '((void *(*)(void *, long, int, int, int, long)) mmap)(0, 4096, 7, 34, -1, 0)'
forbidden "code to run" '((int (*)(void *, long, int)) mprotect)((void *) ((long) $sp & ~4095), 4096, 7)'

step "what is only unknown fails"
gate
pid=$(field pid)
gdb -q -batch -p "$pid" \
    -ex 'print ((int (*)(const char *, const char *)) link)("/run/a", "/run/b")' \
    -ex 'print *((int *(*)(void)) __errno_location)()' >gdb.out 2>&1
grep -q '^\$1 = -1' gdb.out || fail "link() worked: $(cat gdb.out)"
grep -q '^\$2 = 38' gdb.out || fail "not ENOSYS: $(cat gdb.out)"
field state >/dev/null || fail "it is gone"
stop
CLEANUP=()
echo PASS
