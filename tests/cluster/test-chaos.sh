#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 1200
#
# Two minutes of chaos: random moves, kills, cuts and freezes, three VMs, and
# a watch over all of it.  Longer, and with other seeds: tests/chaos/run.
set -euo pipefail
exec "$(dirname "$0")/../chaos/run" --minutes 2 --seed "${1:-3}"
