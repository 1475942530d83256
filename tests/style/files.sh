# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# For style tests, sourced: files REGEX prints ours whose path matches.
set -u
cd "${QM_SRC:?the source directory}" || exit 1

# As git knows them; from a release, all but build directories.
files() {
    if [[ -e .git ]] && command -v git >/dev/null; then
        git -c safe.directory='*' ls-files
    else
        find . -path './build*' -prune -o -type f -print | sed 's|^\./||'
    fi | grep -E -- "$1" | while read -r file; do
        [[ ! -e $file ]] || echo "$file"
    done
}

need() {
    command -v "$1" >/dev/null || {
        echo "SKIP: $1 is missing"
        exit 77
    }
}
