#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 60
#
# Vaults on LUNs of 512 and of 4096 bytes a block, used by several nodes.
# shellcheck source-path=SCRIPTDIR source=storage-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/storage-functions.sh"
begin "$@"
requires_built tests/functional/vault-lun-test
tgt_start
target "$TMPDIR/lun1" 64M
truncate -s 64M "$TMPDIR/lun2"
tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 2 \
    --backing-store "$TMPDIR/lun2" --blocksize 4096
export QM_TEST_URLS="$URL ${URL%1}2" QM_TEST_TARGET=$TGT_PID
"$QM_BUILD/tests/functional/vault-lun-test" || fail "vault-lun-test"
step "ok"
