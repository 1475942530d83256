# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# For functional tests, sourced.  tests/run sets QM_SRC, QM_BUILD (absolute)
# and a TMPDIR that it removes afterwards.
#
#   requires COMMAND...            skips the test when one is missing
#   requires_root                  skips it without root
#   requires_built FILE...         of the build directory; fails when missing
#   skip REASON / fail REASON      end the test
#   step TEXT                      what comes next, with the time
#   cleanup_fn COMMAND [ARG...]    run at exit, last one first
#   wait_until SECONDS COMMAND...  polls; fails, telling what, at the end
#   expect_exit CODE COMMAND...    fails unless it ends with CODE
#   isolate "$@"                   runs the calling script again in network,
#                                  mount, PID and IPC namespaces of its own,
#                                  with private /run and /etc: everything in
#                                  it ends with the script.  Call it first.
#   tgt_start                      tgtd at $TGT_PORTAL (inside isolate)
#   tgt_kill                       ends tgtd, which forgets its reservations
#   tgt_target TID IQN             a target that everybody may log in to
#   tgt_lun TID LUN FILE SIZE      makes FILE when it is not there
#   tgt_tune TID                   parameters for large transfers

set -u

QM_SRC=${QM_SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
QM_BUILD=${QM_BUILD:-$QM_SRC/build}
TMPDIR=${TMPDIR:-/tmp}
export QM_SRC QM_BUILD TMPDIR
export PATH=$PATH:/usr/sbin:/sbin
export TGT_PORTAL=127.0.0.1:3260
TGT_PID=
declare -a CLEANUP=()

run_cleanup() {
    local code=$? i
    trap - EXIT
    for ((i = ${#CLEANUP[@]} - 1; i >= 0; i--)); do
        eval "${CLEANUP[i]}" || :
    done
    exit "$code"
}
trap run_cleanup EXIT
trap 'exit 143' INT TERM

cleanup_fn() {
    CLEANUP+=("$(printf '%q ' "$@")")
}

skip() {
    echo "SKIP: $*"
    exit 77
}

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

step() {
    printf '%s %s\n' "$(date +%H:%M:%S.%3N)" "$*"
}

requires() {
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || skip "$command is missing"
    done
}

requires_root() {
    [[ $EUID -eq 0 ]] || skip "must run as root"
}

requires_built() {
    local file
    for file in "$@"; do
        [[ -e $QM_BUILD/$file ]] || fail "not built: $QM_BUILD/$file"
    done
}

wait_until() {
    local seconds=$1 end
    shift
    end=$(($(date +%s%3N) + ${seconds%.*} * 1000))
    until "$@" >/dev/null 2>&1; do
        [[ $(date +%s%3N) -lt $end ]] || {
            echo "waited $seconds s in vain for: $*" >&2
            return 1
        }
        sleep 0.05
    done
}

expect_exit() {
    local want=$1 code=0
    shift
    "$@" || code=$?
    [[ $code -eq $want ]] || fail "exit $code instead of $want: $*"
}

# --- namespaces

isolate() {
    requires unshare ip
    requires_root
    if [[ ${QM_ISOLATED:-} != "$0" ]]; then
        QM_ISOLATED=$0 exec unshare --net --mount --pid --uts --ipc --fork \
            --kill-child --propagation private bash "$0" "$@"
    fi
    mount -t proc proc /proc
    ip link set lo up
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/lock /run/etc.upper /run/etc.work
    mount -t overlay -o lowerdir=/etc,upperdir=/run/etc.upper,workdir=/run/etc.work \
        overlay /etc
}

# --- iSCSI target

tgt_answers() {
    tgtadm --lld iscsi --op show --mode sys
}

tgt_start() {
    requires tgtd tgtadm
    [[ -n ${QM_ISOLATED:-} ]] || fail "tgt_start needs isolate"
    mkdir -p /run/tgtd
    # Else the buffer of each command is mapped and cleared anew.
    GLIBC_TUNABLES=glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=268435456 \
        tgtd -f -t 16 --iscsi "portal=$TGT_PORTAL" >>"$TMPDIR/tgtd.log" 2>&1 &
    TGT_PID=$!
    wait_until 10 tgt_answers || fail "tgtd: $(tail -n 5 "$TMPDIR/tgtd.log")"
}

tgt_kill() {
    [[ -n $TGT_PID ]] || return 0
    kill -KILL "$TGT_PID" 2>/dev/null
    wait "$TGT_PID" 2>/dev/null
    TGT_PID=
}

tgt_target() {
    tgtadm --lld iscsi --op new --mode target --tid "$1" --targetname "$2" ||
        fail "no target $2"
    tgtadm --lld iscsi --op bind --mode target --tid "$1" \
        --initiator-address ALL || fail "target $2 takes nobody"
}

tgt_lun() {
    [[ -e $3 ]] || truncate -s "$4" "$3"
    tgtadm --lld iscsi --op new --mode logicalunit --tid "$1" --lun "$2" \
        --backing-store "$3" || fail "no LUN $2"
}

tgt_tune() {
    local set
    for set in MaxRecvDataSegmentLength=262144 MaxXmitDataSegmentLength=262144 \
        FirstBurstLength=262144 MaxBurstLength=1048576 InitialR2T=No \
        ImmediateData=Yes MaxOutstandingR2T=8; do
        tgtadm --lld iscsi --op update --mode target --tid "$1" \
            --name "${set%=*}" --value "${set#*=}" || fail "cannot set $set"
    done
}
