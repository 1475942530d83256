#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The lifecycle's document and graph say what its table says.
set -eu -o pipefail
: "${QM_SRC:?the source directory}" "${QM_BUILD:?the build directory}"
code=0

check() { # KIND
    "$QM_BUILD/tests/unit/lifecycle-doc" "$1" |
        diff -u "$QM_SRC/doc/lifecycle.$1" - || {
        echo "doc/lifecycle.$1 is not what the table says:" \
            "run make update-lifecycle-doc"
        code=1
    }
}

check md
check dot
if command -v dot >/dev/null; then
    dot -Tsvg "$QM_SRC/doc/lifecycle.dot" >/dev/null || code=1
fi
exit $code
