#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 120
#
# Nodes that acquire the same LUN against each other never hold it together.
# shellcheck source-path=SCRIPTDIR source=storage-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/storage-functions.sh"
begin "$@"
requires_built tests/functional/lun-race
tgt_start
target "$TMPDIR/lun1" 16M
"$QM_BUILD/tests/functional/lun-race" "$URL" 4 150 || fail "see above"
step "ok"
