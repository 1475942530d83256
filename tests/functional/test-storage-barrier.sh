#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 60
#
# A write that the old owner sent, and that the target has taken but not yet
# carried out, when another node takes over.  PREEMPT alone lets it land on
# top of the new owner's data (shown first: if not, this test shows nothing);
# acquire waits for it.
# shellcheck source-path=SCRIPTDIR source=storage-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/storage-functions.sh"
begin "$@"
slow=$QM_BUILD/tests/functional/.libs/slow-pwrite.so
requires_built "${slow#"$QM_BUILD/"}"
export SLOW_MARK=$TMPDIR/late SLOW_MS=1500
LD_PRELOAD=$slow tgt_start
target "$TMPDIR/lun1" 64M

late_write() { # leaves the old owner's process in OLD
    rm -f "$TMPDIR"/late.*
    LUN_TOOL_LIMIT=4000 node 1 acquire write A 0 4096 write Z 0 4096 drop &
    OLD=$!
    wait_until 10 test -e "$TMPDIR/late.begun" || fail "no write under way"
}

first_byte() {
    head -c 1 "$TMPDIR/lun1"
}

step "PREEMPT alone"
late_write
[[ ! -e $TMPDIR/late.done ]] || fail "too slow a machine: nothing shown"
node 2 preempt 0x514d000200000001 write B 0 4096 flush check B 0 4096 ||
    fail "preempt"
wait_until 10 test -e "$TMPDIR/late.done" || fail "no late write"
[[ $(first_byte) == Z ]] || fail "the write was not late: nothing shown"
wait $OLD

step "acquire"
late_write
[[ ! -e $TMPDIR/late.done ]] || fail "too slow a machine: nothing shown"
node 2 acquire exists "$TMPDIR/late.done" write B 0 4096 flush \
    check B 0 4096 || fail "acquire"
[[ $(first_byte) == B ]] || fail "a late write landed"
wait $OLD

step "a deadline before that is kept"
late_write
began=$(date +%s%3N)
LUN_TOOL_LIMIT=300 node 2 expect timeout acquire || fail "no deadline"
took=$(($(date +%s%3N) - began))
[[ $took -lt 1200 ]] || fail "took $took ms"
wait $OLD
node 2 acquire write C 0 4096 check C 0 4096 || fail "after that"
step "ok"
