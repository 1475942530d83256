#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# libquickmig exports what the public headers declare, and nothing else.
set -eu -o pipefail
: "${QM_SRC:?the source directory}" "${QM_BUILD:?the build directory}"
library=$QM_BUILD/src/lib/.libs/libquickmig.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Functions as the compiler sees them in each public header.
declared() {
    local header flags
    read -ra flags <<<"$(pkg-config --cflags glib-2.0)"
    for header in "$QM_SRC"/include/quickmig/*.h; do
        gcc -E -P -I"$QM_SRC/include" "${flags[@]}" "$header"
    done | tr '\n' ' ' | sed 's/static inline [^{]*{[^}]*}/;/g' |
        grep -oE '\bqm_[a-z0-9_]+ *\([^;{}*]' | sed 's/ *(.*//'
}

declared | sort -u >"$work/declared"
nm -D --defined-only "$library" | awk '{ print $3 }' | sort -u >"$work/exported"
grep -c . "$work/exported"
if odd=$(grep -vE '^qm_[a-z]' "$work/exported"); then
    echo "exported, but not a public name: $odd"
    exit 1
fi
diff "$work/declared" "$work/exported" || {
    echo "left: declared in include/quickmig, not exported;" \
        "right: exported, not declared"
    exit 1
}
