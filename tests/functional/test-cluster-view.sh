#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 240
#
# What the library says of a real cluster: members, quorum, and whether an
# owner is gone; through death, fencing, reboot, partition and daemons that
# hang.
# shellcheck source=tests/functional/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/lab/lib.sh
. "$QM_SRC/tests/lab/lib.sh"
requires_root
requires corosync pacemakerd jq
requires_built tests/functional/cluster-tool

TOOL=$QM_BUILD/tests/functional/cluster-tool
UUID=11111111-1111-4111-8111-111111111111
NO_BOOT=-
OUT=

# tool NODE EXIT PATTERN QUESTION...: asks on NODE; OUT is the answer.
tool() {
    local code=0
    OUT=$(lab exec "$1" env "QM_TOOL_SECONDS=${SECONDS_MAX:-20}" "$TOOL" \
        "${@:4}") || code=$?
    echo "  $1: ${*:4}: ${OUT:-exit $code}"
    [[ $code -eq $2 ]] || fail "exit $code instead of $2"
    grep -q -- "$3" <<<"$OUT" || fail "expected: $3"
}

now() {
    date +%s%6N
}

boot_of() {
    lab exec "$1" "$TOOL" self | cut -d' ' -f3
}

yes=0 no=1 error=3
is() { # EXIT NODE QUESTION...
    local code=0
    lab exec "$2" "$TOOL" "${@:3}" || code=$?
    [[ $code -eq $1 ]]
}

# hangs DAEMON COMMAND...: on n1, while it is stopped; an error, and in time.
hangs() {
    local daemon=$1 pid began
    pid=$(lab exec n1 pidof "$daemon") || fail "no $daemon"
    lab exec n1 kill -STOP "$pid"
    began=$(date +%s%3N)
    SECONDS_MAX=2 tool n1 $error "error: timeout" "${@:2}"
    lab exec n1 kill -CONT "$pid"
    [[ $(($(date +%s%3N) - began)) -lt 5000 ]] || fail "took too long"
}

lab_new
cleanup_fn lab down --purge
lab up --nodes 3 || fail "no lab"

step "a cluster at peace"
tool n1 $yes "^1 n1 [0-9a-f]\{32\}$" self
tool n1 $yes "^3 n3$" node n3
tool n1 $error "not-found" node n9
tool n1 $yes "" quorate
tool n1 $yes "" member n3
tool n1 $yes "^4130$" lag # 1650 + 1980 + 500: token 1000 and 3 nodes
tool n1 $no "" shutting-down
tool n1 $yes "" resources
lab exec n1 crm --force configure primitive vm1 ocf:quickmig:VirtualMachine \
    params vault=/v/1 meta target-role=Stopped >/dev/null 2>&1 ||
    fail "crm configure"
tool n1 $yes "^vm1 /v/1 -$" resources

step "published boots; a live member is not gone"
for node in n1 n2 n3; do tool $node $yes "" publish-boot; done
boot=$(boot_of n2)
tool n1 $no "neither fenced nor booted" gone n2 "$boot" "$(now)" 7 $UUID 20
tool n1 $no "is a member" wait-gone n2 "$boot" "$(now)" 7 $UUID 20
tool n2 $no "is this node, in this boot" gone n2 "$boot" "$(now)" 7 $UUID 20
tool n2 $yes "in an earlier boot" gone n2 $NO_BOOT "$(now)" 7 $UUID 20

step "released: exactly this generation, wherever one asks"
tool n2 $yes "" publish-released $UUID 7
tool n3 $yes "released generation 7" gone n2 "$boot" "$(now)" 7 $UUID 20
tool n3 $no "" gone n2 "$boot" "$(now)" 8 $UUID 20

step "death: gone when fenced"
written=$(now)
lab kill n2
wait_until 60 is $yes n1 gone n2 "$boot" "$written" 9 $UUID 20 ||
    fail "never gone"
tool n1 $yes "was fenced at" wait-gone n2 "$boot" "$written" 9 $UUID 20
tool n3 $yes "was fenced at" gone n2 "$boot" "$written" 9 $UUID 20
tool n1 $no "" member n2
tool n1 $yes "" quorate
later=$((written + 60000000))
tool n1 $no "was not fenced since" gone n2 "$boot" "$later" 9 $UUID 20

step "back: gone as an earlier boot, and only once it says so"
lab start n2 || fail "n2 does not start"
recent=$(now)
tool n1 $no "" gone n2 "$boot" "$recent" 9 $UUID 20
tool n2 $yes "" publish-boot
tool n1 $yes "was booted since" gone n2 "$boot" "$recent" 9 $UUID 20
tool n1 $no "" gone n2 "$(boot_of n2)" "$(now)" 9 $UUID 20
[[ $(boot_of n2) != "$boot" ]] || fail "same boot identity after a reboot"

step "daemons that hang"
hangs corosync self
hangs pacemaker-fenced gone n2 "$boot" "$(now)" 5 $UUID 2
hangs pacemaker-attrd shutting-down
hangs pacemaker-based gone n2 "$boot" "$(now)" 5 $UUID 2
tool n1 $no "" gone n2 "$(boot_of n2)" "$(now)" 5 $UUID 20

step "partition without fencing: lost is not gone"
lab fencing fail
written=$(now)
lab cut n3 cluster
wait_until 30 is $no n1 member n3 || fail "n3 is not dropped"
tool n1 $no "fencing of n3 is under way\|was not fenced since" \
    gone n3 "$(boot_of n3)" "$written" 4 $UUID 20
SECONDS_MAX=20 tool n1 $no "n3" wait-gone n3 "$(boot_of n3)" "$written" 4 $UUID 8
tool n3 $no "" quorate
step "ok"
