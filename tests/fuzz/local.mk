# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# Fuzzers: built with --with-sanitizers=address,undefined,fuzzer-no-link by
# clang (what tests/run does in build/asan).  See tests/fuzz/README.md.

if FUZZERS
check_PROGRAMS += tests/fuzz/fuzz
tests_fuzz_fuzz_SOURCES = \
	tests/fuzz/fuzz-control.c \
	tests/fuzz/fuzz-domxml.c \
	tests/fuzz/fuzz-image.c \
	tests/fuzz/fuzz-iscsi.c \
	tests/fuzz/fuzz-nbd.c \
	tests/fuzz/fuzz-text.c \
	tests/fuzz/fuzz-vault.c \
	tests/fuzz/fuzz.h \
	tests/fuzz/main.c \
	$(NULL)
tests_fuzz_fuzz_LDADD = resource-agents/libqmagent.la \
	src/gate/libqmgate.la src/lib/libqmcore.la $(JSON_GLIB_LIBS)
tests_fuzz_fuzz_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif

# Makes the corpora's first files, of real objects.
noinst_PROGRAMS += tests/fuzz/seeds
tests_fuzz_seeds_SOURCES = tests/fuzz/seeds.c
tests_fuzz_seeds_LDADD = src/lib/libqmcore.la $(LZ4_LIBS)
