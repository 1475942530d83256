#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 60
#
# Logging in: every part of an address that can be wrong is told apart, within
# the deadline; block sizes, big LUNs, IPv6, names.
# shellcheck source-path=SCRIPTDIR source=storage-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/storage-functions.sh"
begin "$@"

tool() {
    URL=$1 node "${@:2}"
}

# Fails as CODE, says PATTERN.
wrong() { # CODE PATTERN URL
    local out
    out=$(tool "$3" 0 login "$1") || fail "$3: $out"
    grep -qE "$2" <<<"$out" || fail "$3: does not say \"$2\": $out"
}

tgt_start
target "$TMPDIR/lun1" 64M
tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 2 \
    --backing-store "$TMPDIR/lun1" --blocksize 4096
truncate -s 3T "$TMPDIR/big"
tgt_lun 1 3 "$TMPDIR/big" 3T
tgt_lun 1 4 "$TMPDIR/ro" 1M
tgtadm --lld iscsi --op update --mode logicalunit --tid 1 --lun 4 \
    --params readonly=1
tgt_target 2 "$IQN.chap"
tgt_lun 2 1 "$TMPDIR/lun2" 16M
tgtadm --lld iscsi --op new --mode account --user joe --password open-sesame-12
tgtadm --lld iscsi --op bind --mode account --tid 2 --user joe
echo open-sesame-12 >"$TMPDIR/secret"
echo open-sesame-13 >"$TMPDIR/wrong"
base=iscsi://127.0.0.1

step "the address is wrong"
wrong io "127.0.0.1:99 .*refused" "$base:99/$IQN/1"
wrong io "10.9.9.9" "iscsi://10.9.9.9/$IQN/1"
wrong not-found "nohost.invalid.*cannot be resolved" \
    "iscsi://nohost.invalid/$IQN/1"
wrong not-found "no iSCSI target $IQN.none" "$base/$IQN.none/1"
wrong not-found "no LUN 9" "$base/$IQN/9"
wrong invalid "not a disk" "$base/$IQN/0"

step "CHAP"
wrong auth "access list" "$base/$IQN.chap/1"
wrong auth "no secret" "iscsi://joe@127.0.0.1/$IQN.chap/1"
LUN_TOOL_SECRET=$TMPDIR/wrong wrong auth "CHAP user joe" \
    "iscsi://joe@127.0.0.1/$IQN.chap/1"
LUN_TOOL_SECRET=$TMPDIR/secret tool "iscsi://joe@127.0.0.1/$IQN.chap/1" 1 info ||
    fail "CHAP"

step "nobody answers"
python3 -c '
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 3999)); s.listen(4); time.sleep(50)' &
cleanup_fn kill $!
silent() {
    local began took
    began=$(date +%s%3N)
    LUN_TOOL_LIMIT=700 wrong timeout "did not answer" "$base:3999/$IQN/1"
    took=$(($(date +%s%3N) - began))
    [[ $took -ge 600 && $took -lt 1500 ]] || fail "took $took ms, not 700"
}
listening() {
    (: </dev/tcp/127.0.0.1/3999) 2>/dev/null
}
wait_until 10 listening || fail "no silent portal"
silent

step "blocks of 512 and 4096 bytes, 3 TiB"
for lun in 1 2; do
    tool "$base/$IQN/$lun" 0 info write A 0 4198400 flush check A 0 4198400 |
        tee "$TMPDIR/out" || fail "LUN $lun"
done
grep -q "block=4096 size=67108864 " "$TMPDIR/out" || fail "block size"
tool "$base/$IQN/2" 0 expect invalid check A 512 4096 \
    expect invalid write A 0 512 || fail "part of a block"
far=$((3 * 1024 * 1024 * 1024 * 1024 - 4096))
tool "$base/$IQN/3" 0 info write F $far 4096 flush check F $far 4096 \
    expect invalid check F $((far + 4096)) 4096 || fail "3 TiB"
[[ $(tail -c 4096 "$TMPDIR/big" | tr -d F | wc -c) -eq 0 ]] || fail "not there"
tool "$base/$IQN/4" 0 info expect read-only write A 0 4096 || fail "read-only"

step "names and IPv6"
tool "iscsi://localhost/$IQN/1" 0 check A 0 4096 || fail "localhost"
tgtadm --lld iscsi --op new --mode portal --param "portal=[::1]:3260"
tool "iscsi://[::1]/$IQN/1" 0 check A 0 4096 || fail "IPv6"

step "one writer a node and LUN"
node 1 touch "$TMPDIR/in" wait "$TMPDIR/out.now" >/dev/null &
first=$!
wait_until 10 test -e "$TMPDIR/in" || fail "no first writer"
LUN_TOOL_LIMIT=200 node 1 login busy || fail "a second writer"
node 0 check A 0 4096 || fail "a reader beside"
touch "$TMPDIR/out.now"
wait $first || fail "first writer"
node 1 check A 0 4096 || fail "the lock stays"

step "LUNs that come and go meanwhile are no concern"
node 1 write A 0 4096 touch "$TMPDIR/a" wait "$TMPDIR/b" write B 0 4096 \
    check B 0 4096 &
first=$!
wait_until 10 test -e "$TMPDIR/a" || fail "no writer"
tgt_lun 1 7 "$TMPDIR/lun7" 1M
touch "$TMPDIR/b"
wait $first || fail "LUNs changed"
step "ok"
