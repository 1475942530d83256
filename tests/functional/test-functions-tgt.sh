#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 60
#
# The helpers themselves: namespaces of one's own, a target that can be ended
# and restarted, waiting that gives up.
# shellcheck source=tests/functional/functions.sh
. "$(dirname "$0")/functions.sh"
isolate "$@"
requires iscsi-ls

IQN=iqn.2026-01.org.example:test
log=$TMPDIR/cleanup
cleanup_fn rm -f "$log" "$TMPDIR/lun1"

step "waiting ends, one way or the other"
wait_until 5 true || fail "true is not true"
if wait_until 0 false 2>"$log"; then
    fail "false is true"
fi
grep -q "in vain for: false" "$log" || fail "does not tell what"
expect_exit 3 sh -c 'exit 3'

step "a target of our own"
tgt_start
tgt_target 1 "$IQN"
tgt_lun 1 1 "$TMPDIR/lun1" 16M
iscsi-ls "iscsi://$TGT_PORTAL" | grep -q "$IQN" || fail "target not seen"
tgt_kill
if iscsi-ls "iscsi://$TGT_PORTAL" >"$log" 2>&1 && grep -q "$IQN" "$log"; then
    fail "target lives on"
fi
tgt_start
tgt_target 1 "$IQN"
tgt_lun 1 1 "$TMPDIR/lun1" 16M
tgt_kill
[[ -z $TGT_PID ]] || fail "target not ended"
step "ok"
