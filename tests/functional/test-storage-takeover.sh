#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 120
#
# Takeovers from an owner that writes with 32 commands in flight.
# shellcheck source-path=SCRIPTDIR source=storage-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/storage-functions.sh"
begin "$@"
requires_built tests/functional/lun-stress
tgt_start
target "$TMPDIR/lun1" 64M
"$QM_BUILD/tests/functional/lun-stress" "$URL" 20 || fail "stale blocks"
step "ok"
