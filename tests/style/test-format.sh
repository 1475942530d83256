#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# C code is laid out as .clang-format says.
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"
need clang-format
files '\.[ch]$' | xargs clang-format --dry-run -Werror
