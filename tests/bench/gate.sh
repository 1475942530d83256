#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# How fast a LUN is through a gate, compared with QEMU's own iSCSI driver on
# the same LUN in the same run.  Prints one JSON object: for each case and
# direction the medians of both in requests a second, and their ratio.
#
#   gate.sh [ROUNDS [CASE...]]      CASE: size:depth, as in 4k:16
#
# The backing store is in memory, so that it is the two paths that are
# measured.  Rounds alternate between the two.

# shellcheck source-path=SCRIPTDIR source=../functional/gate-functions.sh
. "${QM_SRC:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/functional/gate-functions.sh" || exit 1
ROUNDS=${1:-3}
CASES=("${@:2}")
[[ ${#CASES[@]} -gt 0 ]] || CASES=(4k:1 4k:16 4k:64 64k:16 1M:8)
begin "$@"
# shellcheck disable=SC2034 # of functions.sh: nothing to clean in here
# shellcheck disable=SC2034 # functions.sh uses it
CLEANUP=()

tune() {
    local set
    for set in MaxRecvDataSegmentLength=262144 MaxXmitDataSegmentLength=262144 \
        FirstBurstLength=262144 MaxBurstLength=1048576 InitialR2T=No \
        ImmediateData=Yes MaxOutstandingR2T=8; do
        tgtadm --lld iscsi --op update --mode target --tid 1 \
            --name "${set%=*}" --value "${set#*=}" || fail "cannot set $set"
    done
}

requests() { # SIZE: enough for about a second
    case $1 in
    4k) echo 40000 ;;
    64k) echo 12000 ;;
    *) echo 1200 ;;
    esac
}

measure() { # WHERE SIZE DEPTH DIRECTION: requests a second
    local count seconds args=(-f raw -t none)
    count=$(requests "$2")
    [[ $3 -gt 1 ]] || count=$((count / 4))
    [[ $4 == read ]] || args+=(-w)
    seconds=$(qemu-img bench "${args[@]}" -c "$count" -d "$3" -s "$2" "$1" \
        2>/dev/null | sed -n 's/^Run completed in \(.*\) seconds.*/\1/p')
    [[ -n $seconds ]] || fail "no figure: $*"
    jq -n "$count / $seconds"
}

tgtadm --lld iscsi --op delete --mode logicalunit --tid 1 --lun 1
dd if=/dev/zero of=lun1 bs=1M count=64 conv=notrunc status=none
tgt_lun 1 1 /run/lun1 64M
tune

# The built-in driver knows no reservation: it gets a LUN of its own, which is
# the same memory.
tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 2 \
    --backing-store /run/lun1 || fail "no second LUN"
builtin=iscsi://$TGT_PORTAL/$IQN/2
# shellcheck disable=SC2119 # no options
gate ''
ready
for c in "${CASES[@]}"; do
    for direction in read write; do
        for ((i = 0; i < ROUNDS; i++)); do
            a=$(measure "$builtin" "${c%:*}" "${c#*:}" $direction) || exit 1
            b=$(measure "$NBD" "${c%:*}" "${c#*:}" $direction) || exit 1
            echo "{\"case\":\"$c\",\"direction\":\"$direction\",\"builtin\":$a,\"gate\":$b}"
        done
    done
done >samples
jq -s 'def median: sort | .[length / 2 | floor];
    group_by(.case + .direction) | map({
        case: .[0].case, direction: .[0].direction,
        builtin: (map(.builtin) | median | round),
        gate: (map(.gate) | median | round),
        ratio: ((map(.gate) | median) / (map(.builtin) | median) * 100 | round / 100)})
    | {what: "requests a second, gate against the built-in driver", results: .}' samples
stop
