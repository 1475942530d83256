#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The programs themselves with AddressSanitizer and UBSan, against a real
# target: the gate serving and fencing, logins, the command line.
# tests/sanitize/run does the same with all functional tests, and more.
# timeout: 300
set -euo pipefail
: "${QM_SRC:=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)}"
exec "$QM_SRC/tests/sanitize/run" functional gate-process gate-serve \
    gate-fencing storage-login cli-directory
