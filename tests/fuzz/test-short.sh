#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Every known input again, and a minute of new ones: no reader of anything that
# comes from outside crashes, hangs, leaks or breaks its promises.
# timeout: 300
set -euo pipefail
: "${QM_SRC:=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)}"
exec "$QM_SRC/tests/fuzz/run" --seconds 60
