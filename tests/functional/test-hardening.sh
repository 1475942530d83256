#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# How the programs are built, and how they behave to who shares the node: no
# core dumps, files that are made so that nobody can put a link in their way,
# nobody but root in the runtime directory.

# shellcheck disable=SC2016 # gdb prints "$1"
# shellcheck source-path=SCRIPTDIR source=functions.sh
. "${QM_SRC:?the source directory}/tests/functional/functions.sh" || exit 1
isolate "$@"
requires readelf gdb jq
requires_built src/gate/quickmig-gate src/node/quickmigd src/cli/quickmig \
    resource-agents/VirtualMachine resource-agents/Node

# The file itself, not what libtool has put before it.
real() {
    local lib=${1%/*}/.libs/${1##*/}
    if [[ -e $lib ]]; then echo "$lib"; else echo "$1"; fi
}

has() { # FILE WHAT OPTIONS PATTERN
    grep -Eq "$4" <<<"$(readelf -W "$3" "$1" 2>/dev/null)" ||
        fail "$1: no $2"
}

hardened() { # FILE
    has "$1" "position-independent code" -h 'Type: *DYN'
    has "$1" "RELRO" -l 'GNU_RELRO'
    has "$1" "binding at start" -d 'BIND_NOW|FLAGS_1.*NOW'
    has "$1" "stack that is not run" -l 'GNU_STACK .* RW +0x'
    ! grep -Eq 'LOAD .* RWE ' <<<"$(readelf -W -l "$1")" ||
        fail "$1: RWE segment"
    ! grep -q TEXTREL <<<"$(readelf -W -d "$1")" || fail "$1: text relocations"
    ! grep -Eq 'RPATH|RUNPATH' <<<"$(readelf -W -d "$1")" || fail "$1: RPATH"
}

# What the compiler adds shows in the functions that are called.
checked() { # FILE
    has "$1" "stack protector" --dyn-syms '__stack_chk_fail'
    has "$1" "FORTIFY" --dyn-syms '__(memcpy|read|snprintf|vsnprintf|strncpy|fdelt|open|pread64|recv|printf|fprintf|poll)_chk|__open(at)?(64)?_2'
}

step "how programs and library are built"
n=0
for file in src/gate/quickmig-gate src/node/quickmigd src/cli/quickmig \
    resource-agents/VirtualMachine resource-agents/Node; do
    hardened "$(real "$QM_BUILD/$file")"
    checked "$(real "$QM_BUILD/$file")"
    n=$((n + 1))
done
hardened "$QM_BUILD/src/lib/.libs/libquickmig.so"
checked "$QM_BUILD/src/lib/.libs/libquickmig.so"
echo "shown: hardening: $((n + 1)) programs and libraries PIE, RELRO, BIND_NOW," \
    "stack protector, FORTIFY"

# The test sees what is missing.
echo 'int main(void) { return 0; }' >/run/soft.c
gcc -no-pie -fno-stack-protector -Wl,-z,norelro,-z,lazy -o /run/soft /run/soft.c
for check in hardened checked; do
    (trap - EXIT; $check /run/soft) >/dev/null 2>&1 && fail "$check sees nothing"
done

step "no core dumps"
QM_RUN_DIR=/run/quickmig QM_LOG_FILE=/run/log \
    "$QM_BUILD/src/node/quickmigd" --foreground >/dev/null 2>&1 &
pid=$!
cleanup_fn kill -KILL "$pid"
# It waits for a cluster that is not there, or has ended: then it is too late.
not_dumpable() {
    gdb -q -batch -p "$pid" -ex 'print ((int (*)(int, ...)) prctl)(3)' 2>&1 |
        grep -q '^\$1 = 0'
}
wait_until 5 not_dumpable || fail "quickmigd can be dumped"
grep -Eq '^Max core file size +0 +0' "/proc/$pid/limits" || fail "limit"
kill -KILL "$pid"; CLEANUP=()

step "files are made so that no link is followed"
bad=$(grep -rnE 'O_CREAT' "$QM_SRC"/src "$QM_SRC"/resource-agents \
    --include=*.c -A1 | grep -v 'crash\.c' | tr '\n' ' ' | sed 's/ -- /\n/g' |
    grep -vE 'O_NOFOLLOW|O_EXCL' || true)
[[ -z ${bad// /} ]] || fail "O_CREAT without O_NOFOLLOW or O_EXCL: $bad"
bad=$(grep -rnE '\b(mktemp|tempnam|tmpnam|fopen|creat|system|popen)\(' \
    "$QM_SRC"/src "$QM_SRC"/resource-agents --include=*.c || true)
[[ -z $bad ]] || fail "$bad"

step "secrets are in no argument: no program takes one"
for program in src/gate/quickmig-gate src/node/quickmigd; do
    ! grep -Eiq -e '--(secret|password)' <<<"$("$QM_BUILD/$program" --help)" ||
        fail "$program"
done
! "$QM_BUILD/src/cli/quickmig" vault show --help |
    grep -Ei -e '--(secret|password)[= ]' || fail "quickmig"

CLEANUP=()
echo PASS
