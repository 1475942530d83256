#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 280
#
# The other storage tests once more, with our own initiator, which is what
# gates use: logins, reservations, lost sessions, takeovers.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export LUN_TOOL_OWN=1
for name in login reservation lost barrier race takeover; do
    echo "=== $name"
    TMPDIR=$(mktemp -d) "$here/test-storage-$name.sh"
done
