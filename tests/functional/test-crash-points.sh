#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Crash points: each that is in the code is run by tests/crash/run in some
# scenario, each that is to be run is in the code, and a program built for use
# has none of them.
# shellcheck source=tests/functional/functions.sh
. "$(dirname "$0")/functions.sh"
cd "$QM_SRC" || exit 1
code=0

complain() {
    echo "$*"
    code=1
}

# Names; PREFIX-* for those that end in a state.
in_code() {
    local sources
    mapfile -t sources < <(find src resource-agents -name '*.c')
    tr '\n' ' ' <<<"$(cat "${sources[@]}")" |
        grep -o 'QM_CRASH_POINT\(_OF\)\?([^;]*;' | while read -r call; do
        if [[ $call == *_OF\(* ]]; then
            grep -o '"[a-z-]*"' <<<"$call" | tr -d '"' | sed 's/$/-*/'
        else
            grep -o '"[a-z-]*"' <<<"$call" | tr -d '"'
        fi
    done | sort -u
}

to_run() {
    sed -n 's/^[a-z][a-z]* [a-z]* *[A-Za-z-]* *\([A-Za-z-]*\) .*/\1/p' \
        tests/crash/points | sort -u
}

matches() { # POINT: is it one of the code's?
    local point
    while read -r point; do
        # shellcheck disable=SC2053 # a glob is meant
        [[ $1 != $point ]] || return 0
    done <<<"$code_points"
    return 1
}

code_points=$(in_code)
points=$(to_run)
[[ $(wc -l <<<"$code_points") -gt 30 ]] || complain "few points: $code_points"
while read -r point; do
    [[ $point == *'*' ]] && pattern="^${point%\*}" || pattern="^$point\$"
    grep -q -- "$pattern" <<<"$points" ||
        complain "in the code, but not in tests/crash/points: $point"
done <<<"$code_points"
while read -r point; do
    matches "$point" || complain "not in the code: $point"
done <<<"$points"
grep -q '^#define QM_CRASH_POINTS 1' "$QM_BUILD/config.h" ||
    for program in "$QM_DEST"/usr/lib/ocf/resource.d/quickmig/VirtualMachine \
        "$QM_DEST"/usr/sbin/quickmigd "$QM_DEST"/usr/libexec/quickmig/*gate; do
        [[ -e $program ]] || complain "$program is missing"
        ! grep -qa 'quickmig/crash.log\|record-half' "$program" ||
            complain "$program has crash points"
    done
exit $code
