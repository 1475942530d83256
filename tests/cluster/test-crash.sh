#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 900
#
# Processes and nodes that die at a few of the lines of the protocol where
# something was made durable or visible: tests/crash/run --all has them all.
set -euo pipefail
exec "$(dirname "$0")/../crash/run" --short
