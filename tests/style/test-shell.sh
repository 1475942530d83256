#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Shell scripts pass shellcheck: all .sh, and whatever begins with #! and sh.
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"
need shellcheck

scripts() {
    files '\.sh$'
    files '(^|/)[^.]*$' | while read -r file; do
        ! head -c 64 "$file" | grep -qaE '^#!.*(/| )(ba)?sh' || echo "$file"
    done
}

check() {
    shellcheck -x --source-path="$QM_SRC" --source-path=SCRIPTDIR "$@"
}

code=0
while read -r file; do
    # What only others use (SC2034) is the point of a file to be sourced.
    if [[ $(head -c 2 "$file") == '#!' ]]; then
        check "$file" || code=1
    else
        check -e SC2034 "$file" || code=1
    fi
done < <(scripts | sort -u)
exit $code
