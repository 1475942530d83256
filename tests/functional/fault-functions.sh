# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# shellcheck shell=bash
#
# For tests of storage that fails, sourced; on top of functions.sh.
#
#   fault_start          iscsi-fault at $FAULTY, in front of $TGT_PORTAL
#   faults RULE...       what fails from now on; none: nothing
#   faults_hit N         N answers were changed since the last "faults"
#   shown TEXT           a line that tests/run repeats

FAULTY=127.0.0.1:3261
FAULT_RULES=$TMPDIR/fault.rules
FAULT_LOG=$TMPDIR/fault.log
FAULT_SEEN=0
export FAULTY

fault_start() {
    requires python3
    : >"$FAULT_RULES"
    "$QM_SRC/tests/functional/iscsi-fault" "$FAULTY" "$TGT_PORTAL" \
        "$FAULT_RULES" >"$FAULT_LOG" 2>&1 &
    wait_until 10 grep -q ready "$FAULT_LOG" ||
        fail "iscsi-fault: $(<"$FAULT_LOG")"
}

fault_lines() {
    wc -l <"$FAULT_LOG"
}

faults() {
    printf '%s\n' "$@" >"$FAULT_RULES.new"
    mv "$FAULT_RULES.new" "$FAULT_RULES"
    FAULT_SEEN=$(fault_lines)
}

faults_hit() {
    [[ $(($(fault_lines) - FAULT_SEEN)) -eq $1 ]]
}

shown() {
    echo "shown: faults: $*"
}
