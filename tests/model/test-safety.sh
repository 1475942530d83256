#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The protocol's model: nothing wrong within small bounds, and without any one
# of its safety steps something is.  doc/model.md.
# timeout: 600
set -u
: "${QM_SRC:?the source directory}" "${QM_BUILD:?the build directory}"
command -v spin >/dev/null || {
    echo "SKIP: spin is missing"
    exit 77
}
exec "$QM_SRC/tests/model/run"
