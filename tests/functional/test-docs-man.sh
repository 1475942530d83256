#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The manual pages say what the programs' --help says: every command and every
# option, in both directions; and they are free of formatter warnings.

set -u
: "${QM_BUILD:?the build directory}" "${QM_SRC:?the source directory}"
export LC_ALL=C MANWIDTH=80
failed=0

fail() {
    echo "FAIL: $*" >&2
    failed=1
}

for tool in man col; do
    command -v $tool >/dev/null || {
        echo "skipped: $tool is missing"
        exit 77
    }
done

# page FILE: as text.
page() {
    man -l --no-hyphenation -P cat "$1" 2>/dev/null | col -bx
}

# section NAME: of the text on standard input.
section() {
    sed -n "/^$1\$/,/^[A-Z]/p" | sed '1d'
}

# The tags of a section's paragraphs begin in column 8.
tags() {
    sed -n 's/^       \([^ ].*\)$/\1/p'
}

# both WHAT LIST1 LIST2: complains about what is in one only.
both() {
    local line
    while read -r line; do
        [[ -z $line ]] || fail "$1: only in $2: $line"
    done < <(comm -23 "$3" "$5")
    while read -r line; do
        [[ -z $line ]] || fail "$1: only in $4: $line"
    done < <(comm -13 "$3" "$5")
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- no warnings
for file in "$QM_SRC"/doc/*.[0-9] "$QM_BUILD"/doc/*.[0-9]; do
    [[ -e $file ]] || continue
    man -l --warnings "$file" >/dev/null 2>"$work/warnings"
    [[ ! -s $work/warnings ]] || fail "$file: $(<"$work/warnings")"
    if command -v mandoc >/dev/null; then
        mandoc -T lint -W error "$file" >"$work/warnings" ||
            fail "$file: $(<"$work/warnings")"
    fi
done

# --- quickmig: commands
quickmig=$QM_BUILD/src/cli/quickmig
[[ -x $quickmig ]] || fail "not built: $quickmig"
page "$QM_SRC/doc/quickmig.8" >"$work/quickmig"
"$quickmig" --help |
    sed -n '/^Commands:/,/^$/s/^  \([a-z].*[^ ]\)   *[A-Z].*/\1/p' |
    sort >"$work/commands.help"
[[ $(wc -l <"$work/commands.help") -ge 6 ]] || fail "no commands in --help"
section COMMANDS <"$work/quickmig" | tags |
    sed 's/  *[A-Z][a-z].*//' | sed 's/\.\.\..*/.../' | grep -v '^$' |
    sort >"$work/commands.man"
both "quickmig's commands" --help "$work/commands.help" quickmig.8 \
    "$work/commands.man"

# --- quickmig: options
sed 's/ [A-Z[].*//' "$work/commands.help" | while read -r -a words; do
    "$quickmig" "${words[@]}" --help
done >"$work/all.help"
"$quickmig" --help >>"$work/all.help"
sed -n 's/^ \{2,6\}\(-.*[^ ]\)   *[a-z].*/\1/p' "$work/all.help" |
    sort -u >"$work/options.help"
[[ $(wc -l <"$work/options.help") -ge 13 ]] || fail "no options in --help"
section OPTIONS <"$work/quickmig" | tags |
    grep -oP '^(-[a-z], )?--[a-z-]+( [A-Z]+(?![a-z]))?' | sort -u >"$work/options.man"
both "quickmig's options" --help "$work/options.help" quickmig.8 \
    "$work/options.man"

# --- the exit codes and error codes of quickmig
for code in 0 1 2 3 4 5 6; do
    grep -q "^       $code" <<<"$(section "EXIT STATUS" <"$work/quickmig")" ||
        fail "quickmig.8: no exit code $code"
done
section JSON <"$work/quickmig" >"$work/json"
while read -r code; do
    grep -qw -- "$code" "$work/json" || fail "quickmig.8: no error code $code"
done < <(sed -n 's/.*\[QM_ERROR_.*\] = "\(.*\)",/\1/p' "$QM_SRC/src/lib/error.c")

# --- quickmig-gate: options
gate=$QM_BUILD/src/gate/quickmig-gate
if [[ -x $gate ]]; then
    "$gate" --help | grep -oE -- '--[a-z][-a-z]*' | sort -u >"$work/gate.help"
    page "$QM_SRC/doc/quickmig-gate.8" | section OPTIONS | tags |
        grep -oE -- '--[a-z][-a-z]*' | sort -u >"$work/gate.man"
    both "quickmig-gate's options" --help "$work/gate.help" quickmig-gate.8 \
        "$work/gate.man"
fi

[[ $failed -eq 0 ]] && echo "PASS"
exit $failed
