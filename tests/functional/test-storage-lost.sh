#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 60
#
# Targets that die, or stand still, with commands in flight.
# shellcheck source-path=SCRIPTDIR source=storage-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/storage-functions.sh"
begin "$@"
slow=$QM_BUILD/tests/functional/.libs/slow-pwrite.so
requires_built "${slow#"$QM_BUILD/"}"
export SLOW_MARK=$TMPDIR/late SLOW_MS=5000
LD_PRELOAD=$slow tgt_start
target "$TMPDIR/lun1" 64M

step "it dies with a write in flight"
node 1 acquire expect lost write Z 0 4194304 expect lost check A 0 4096 \
    expect lost flush expect lost verify expect lost acquire &
first=$!
wait_until 10 test -e "$TMPDIR/late.begun" || fail "no write under way"
tgt_kill
wait $first || fail "session lost"

step "it stands still: the deadline is kept, the session given up"
tgt_start
target "$TMPDIR/lun1" 64M
node 1 acquire touch "$TMPDIR/1" wait "$TMPDIR/2" drop &
first=$!
wait_until 10 test -e "$TMPDIR/1" || fail "no holder"
touch "$TMPDIR/2"
wait $first
for steps in "check A 0 4194304 expect lost check A 0 4096" "write A 0 4194304" \
    flush acquire verify reset state; do
    rm -f "$TMPDIR/go" "$TMPDIR/in"
    # shellcheck disable=SC2086 # words are meant
    LUN_TOOL_LIMIT=600 node 1 touch "$TMPDIR/in" wait "$TMPDIR/go" \
        expect timeout $steps &
    first=$!
    wait_until 10 test -e "$TMPDIR/in" || fail "no login"
    kill -STOP "$TGT_PID"
    touch "$TMPDIR/go"
    began=$(date +%s%3N)
    wait $first || { kill -CONT "$TGT_PID"; fail "$steps"; }
    took=$(($(date +%s%3N) - began))
    kill -CONT "$TGT_PID"
    [[ $took -lt 1500 ]] || fail "$steps took $took ms"
done
node 1 acquire write A 0 4096 check A 0 4096 || fail "it goes on"
step "ok"
