#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The gate as a process: how it starts and fails to, what it keeps to itself,
# who may talk to it, and how it ends.

# shellcheck source-path=SCRIPTDIR source=gate-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/gate-functions.sh" || exit 1
begin "$@"

refused() { # CODE JSON
    echo "$2" | "$QM_GATE_PROGRAM" >report 2>/dev/null && fail "accepted: $2"
    jq -e ".ok == false and .error == \"$1\"" report >/dev/null ||
        fail "expected $1: $(cat report)"
    pgrep -x quickmig-gate && fail "a gate is left behind"
    return 0
}

step "command line"
"$QM_GATE_PROGRAM" --version | grep -q "quickmig-gate [0-9]" || fail "--version"
"$QM_GATE_PROGRAM" --help | grep -q "^Usage" || fail "--help"
expect_exit 2 "$QM_GATE_PROGRAM" --nonsense 2>/dev/null
expect_exit 2 "$QM_GATE_PROGRAM" vda 2>/dev/null

step "starts that fail"
refused invalid ""
refused invalid "[]"
refused invalid '{"vm_uuid":"x"}'
refused not-found "$(LUN=9 configuration)"
refused not-found "$(configuration | sed s/org.example:t/org.example:none/)"
refused io "$(configuration | sed s/3260/3261/)"
refused invalid "$(configuration '"socket":"/run/'"$(printf 'x%.0s' {1..120})"'"')"
QM_GATE_PROGRAM=/bin/true expect_exit 1 "$TOOL" start vda "$TGT_PORTAL" "$IQN" \
    1 /run/vault 1 0 2>/dev/null
QM_GATE_PROGRAM=/none expect_exit 1 "$TOOL" start vda "$TGT_PORTAL" "$IQN" 1 \
    /run/vault 1 0 2>/dev/null

step "many starts at once make one gate"
starters=()
for _ in 1 2 3 4 5 6; do
    start &
    starters+=($!)
done
for s in "${starters[@]}"; do
    wait "$s" || fail "a start failed"
done
[[ $(pgrep -cx quickmig-gate) == 1 ]] || fail "$(pgrep -cx quickmig-gate) gates"
stop

step "CHAP, and where its secret is not"
tgtadm --lld iscsi --op new --mode account --user joe --password secret-of-12
tgtadm --lld iscsi --op bind --mode account --tid 1 --user joe
refused auth "$(configuration '"user":"joe","secret":"secret-of-13"')"
gate '"user":"joe","secret":"secret-of-12"'
pid=$(field pid)
grep -qa secret-of /proc/"$pid"/cmdline /proc/"$pid"/environ gate.log report &&
    fail "the secret shows"
stop
tgtadm --lld iscsi --op unbind --mode account --tid 1 --user joe
tgtadm --lld iscsi --op delete --mode account --user joe

step "detached from whoever started it"
setsid bash -c "echo \$\$ >group; exec '$TOOL' start vda '$TGT_PORTAL' '$IQN' 1 \
    /run/vault 1 0" || fail "no gate"
pid=$(field pid)
kill -KILL -- "-$(cat group)" 2>/dev/null
kill -0 "$pid" || fail "killed with its starter's process group"
read -r _ _ _ _ pgrp session _ </proc/"$pid"/stat
[[ $pgrp == "$pid" && $session == "$pid" ]] || fail "not a session of its own"
[[ $(readlink /proc/"$pid"/cwd) == / ]] || fail "working directory"
if (echo -900 >/proc/self/oom_score_adj) 2>/dev/null; then # with the right to
    [[ $(cat /proc/"$pid"/oom_score_adj) == -900 ]] || fail "OOM score"
fi
[[ $(cat /proc/"$pid"/comm) == quickmig-gate ]] || fail "name"
for fd in 0 1 2; do
    [[ $(readlink /proc/"$pid"/fd/$fd) == /dev/null ]] || fail "fd $fd is open"
done
[[ $(stat -c %a "$SOCK") == 600 && $(stat -c %a "$CONTROL") == 600 ]] ||
    fail "modes of the sockets"

step "who may connect"
stop
configuration | sed 's/"qemu_uid":0,/"qemu_uid":12345,/; s/"qemu_gid":0/"qemu_gid":12345/' \
    >json
"$QM_GATE_PROGRAM" <json >report || fail "no gate"
[[ $(stat -c %u:%g "$SOCK") == 12345:12345 ]] || fail "owner of the socket"
chmod 666 "$SOCK" "$CONTROL" # what is in its way otherwise
chmod 755 /run/quickmig /run/quickmig/gate
try() { # UID PATH: 0 if anything is answered
    setpriv --reuid "$1" --regid "$1" --clear-groups \
        "$TMPDIR/gate-tool" ask "$2" '{"do":"status"}' >/dev/null 2>&1
}
cp "$(readlink -f "$TOOL")" "$TMPDIR/gate-tool" && chmod 755 "$TMPDIR" "$TMPDIR/gate-tool"
try 12345 "$SOCK" || fail "QEMU's user was refused"
try 0 "$SOCK" || fail "root was refused"
try 12346 "$SOCK" && fail "another user was let in"
try 0 "$CONTROL" || fail "root was refused at the control socket"
try 12345 "$CONTROL" && fail "QEMU's user may control the gate"
logged "process [0-9]+ of user 12346 may not connect" || fail "not logged"

step "bad control requests"
for bad in nonsense '[]' '{}' '{"do":5}' '{"do":"dance"}' '{"do":"acquire"}' \
    '{"do":"acquire","generation":0}' '{"do":"acquire","generation":-5}'; do
    control "$bad" | jq -e '.ok == false and .error == "invalid"' >/dev/null ||
        fail "accepted: $bad"
done
tool ask "$CONTROL" "$(printf 'x%.0s' {1..9000})" 2>/dev/null && fail "a long line was answered"
field state >/dev/null || fail "gone after a long line"
stop

step "a signal does not end a gate that serves"
start
pid=$(field pid)
ready
qemu-img bench -w -f raw -c 1000000 -d 4 "$NBD" >/dev/null 2>&1 &
client=$!
wait_until 5 field_is clients 1 || fail "no client"
kill -TERM "$pid"
wait_until 5 logged "signal 15 ignored" || fail "not ignored"
kill -HUP "$pid"
kill -KILL "$client"
wait "$client" 2>/dev/null
wait_until 5 field_is clients 0 || fail "client not gone"
kill -TERM "$pid"
wait_until 5 gone "$pid" || fail "did not end"

step "killed, and started again"
start && ready
pid=$(field pid)
kill -KILL "$pid"
wait_until 5 gone "$pid"
[[ $(tool status vda 2>&1) == *not-found* ]] || fail "status of a dead gate"
start || fail "cannot start again"
ready # preempts the key of the dead one
io "write 0 4k" | grep -q "1 ops" || fail "cannot write"

step "one that hangs is killed"
pid=$(field pid)
kill -STOP "$pid"
GATE_TOOL_LIMIT=2 tool status vda 2>&1 | grep -q timeout || fail "no timeout"
GATE_TOOL_LIMIT=2 tool stop vda || fail "cannot stop it"
gone "$pid" || fail "it lives"
start || fail "cannot start again"

step "a gate for another LUN is replaced"
tgt_lun 1 3 /run/lun3 32M
tool start vda "$TGT_PORTAL" "$IQN" 3 /run/vault 1 0 || fail "not replaced"
[[ $(field lun) == */3 ]] || fail "serves the old LUN"
stop
CLEANUP=()
echo PASS
