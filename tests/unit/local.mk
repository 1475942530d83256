# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors

check_PROGRAMS += tests/unit/runtime_test
TESTS += tests/unit/runtime_test
tests_unit_runtime_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)
