# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# shellcheck shell=bash
#
# For tests of LUNs and reservations, sourced; on top of functions.sh.
#
#   begin "$@"            isolates
#   target FILE SIZE      a target with FILE as LUN 1, at $URL
#   node N STEP...        lun-tool as node N: an initiator, and a directory for
#                         locks, of its own; N=0 is a reader
#   holder                key of the reservation's holder

# shellcheck source-path=SCRIPTDIR source=functions.sh
. "${QM_SRC:?the source directory}/tests/functional/functions.sh" || exit 1

IQN=iqn.2026-01.org.example:storage
URL=iscsi://$TGT_PORTAL/$IQN/1
TOOL=$QM_BUILD/tests/functional/lun-tool

begin() {
    requires_built tests/functional/lun-tool
    isolate "$@"
}

target() {
    tgt_target 1 "$IQN"
    tgt_lun 1 1 "$1" "$2"
}

node() {
    local n=$1
    shift
    QM_RUN_DIR=/run/node$n LUN_TOOL_INITIATOR=iqn.2026-01.org.example:node$n \
        "$TOOL" "$URL" "$n" "$@"
}

holder() {
    node 0 state | sed -n 's/^holder=\([0-9a-f]*\) .*/0x\1/p'
}
