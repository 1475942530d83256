#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 60
#
# Who may write: takeover, orphaned registrations, a target that forgets,
# reservations of others.
# shellcheck source-path=SCRIPTDIR source=storage-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/storage-functions.sh"
begin "$@"
tgt_start
target "$TMPDIR/lun1" 64M
t=$TMPDIR

keys() {
    node 0 state | sed -n 's/.* keys=\([0-9]*\):.*/\1/p'
}

step "free: reserve; nobody else may write, everybody may read"
node 1 acquire verify write A 0 4096 flush state touch "$t/1" wait "$t/2" \
    verify write A 0 4096 &
first=$!
wait_until 10 test -e "$t/1" || fail "no holder"
node 2 check A 0 4096 expect conflict write X 0 4096 expect conflict verify ||
    fail "an outsider"
node 0 check A 0 4096 expect conflict write X 0 4096 || fail "a reader"
touch "$t/2"
wait $first || fail "the holder"

step "what the first left behind is taken over"
key=$(holder)
[[ $key == 0x514d0001* ]] || fail "holder $key"
node 2 acquire verify write B 0 4096 state || fail "takeover of an orphan"
[[ $(holder) == 0x514d0002* && $(keys) -eq 1 ]] || fail "not alone"

step "a holder that still lives is told"
node 1 acquire write C 0 4096 touch "$t/3" wait "$t/4" \
    expect conflict write X 0 4096 expect conflict write X 0 4096 \
    expect conflict verify check D 0 4096 &
first=$!
wait_until 10 test -e "$t/3" || fail "no holder"
node 2 acquire write D 0 4096 flush || fail "takeover"
touch "$t/4"
wait $first || fail "the old holder"

step "an idle holder is told, too: its reads fail"
node 1 acquire touch "$t/5" wait "$t/6" expect conflict check D 0 4096 &
first=$!
wait_until 10 test -e "$t/5" || fail "no holder"
node 2 acquire drop || fail "takeover"
touch "$t/6"
wait $first || fail "the idle one"

step "a node takes over from itself"
node 2 acquire drop || fail "once"
node 2 acquire write E 0 4096 || fail "from itself"
[[ $(keys) -eq 1 ]] || fail "its old registration is still there"

step "registrations of those who came to nothing are removed"
for i in 3 4 5; do node $i register 0x514d000${i}00000001 drop; done
[[ $(keys) -eq 4 ]] || fail "expected 4 registrations"
node 1 acquire verify write F 0 4096 || fail "acquire"
[[ $(keys) -eq 1 ]] || fail "others are registered still"

step "own reset: the holder goes on"
node 1 acquire reset verify write G 0 4096 check G 0 4096 || fail "reset"

step "somebody's reset: an outsider goes on"
node 0 check G 0 4096 touch "$t/7" wait "$t/8" check G 0 4096 &
first=$!
wait_until 10 test -e "$t/7" || fail "no reader"
node 1 acquire drop || fail "acquire"
touch "$t/8"
wait $first || fail "a reader is not fenced"

step "a target that restarts forgets; the old session is lost"
node 1 acquire write H 0 4096 touch "$t/9" wait "$t/10" \
    expect lost write X 0 4096 expect lost verify &
first=$!
wait_until 10 test -e "$t/9" || fail "no holder"
tgt_kill
tgt_start
target "$TMPDIR/lun1" 64M
touch "$t/10"
wait $first || fail "session lost"
[[ $(keys) -eq 0 ]] || fail "it has not forgotten"
node 1 expect conflict verify acquire verify write I 0 4096 || fail "anew"

step "gone behind the holder's back"
node 1 acquire touch "$t/11" wait "$t/12" expect conflict verify &
first=$!
wait_until 10 test -e "$t/11" || fail "no holder"
node 2 register 0x514d000200000001 clear 0x514d000200000001 || fail "clear"
touch "$t/12"
wait $first || fail "verify"

step "reserved by others"
node 9 foreign 0x1234 5 drop || fail "foreign"
node 1 expect foreign acquire || fail "a foreign key"
[[ $(holder) == 0x0000000000001234 && $(keys) -eq 1 ]] || fail "it was touched"
node 8 register 0x1 clear 0x1
node 9 foreign 0x514d000900000001 1 drop || fail "foreign"
node 1 expect foreign acquire || fail "another type"
node 8 register 0x1 clear 0x1
node 1 acquire release acquire || fail "free again"
step "ok"
