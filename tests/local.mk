# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors

# Damages vaults, for tests of the programs that read them.
noinst_PROGRAMS += tests/functional/vault-poke
tests_functional_vault_poke_SOURCES = tests/functional/vault-poke.c
tests_functional_vault_poke_LDADD = src/lib/libqmcore.la

# One step with a libvirt domain, for tests of the library's part for it.
noinst_PROGRAMS += tests/functional/vm-tool
tests_functional_vm_tool_SOURCES = tests/functional/vm-tool.c
tests_functional_vm_tool_LDADD = src/lib/libqmcore.la

# The library's view of the cluster, one question a run.
noinst_PROGRAMS += tests/functional/cluster-tool
tests_functional_cluster_tool_SOURCES = tests/functional/cluster-tool.c
tests_functional_cluster_tool_LDADD = src/lib/libqmcore.la

# A vault that says who may, and the gate's client.
noinst_PROGRAMS += tests/functional/gate-tool
tests_functional_gate_tool_SOURCES = tests/functional/gate-tool.c
tests_functional_gate_tool_LDADD = src/lib/libqmcore.la

# The tests tree goes into a release as it is: as git knows it, or, made from
# a release, what there is but for built files.
dist-hook:
	(cd $(srcdir) && \
	if test -e .git; then git -c safe.directory='*' ls-files tests .ci; \
	else find tests .ci \( -name .deps -o -name .libs -o -name .cache \
	    -o -name __pycache__ \) -prune -o -type f \
	    ! -name '*.o' ! -name '*.lo' ! -name .dirstamp -print; fi | \
	while read -r file; do test ! -e "$$file" || echo "$$file"; done | \
	tar cf - -T -) | (cd $(distdir) && tar xf -)

# One login to one LUN, step by step, for tests of reservations and barriers.
noinst_PROGRAMS += tests/functional/lun-tool
tests_functional_lun_tool_SOURCES = tests/functional/lun-tool.c
tests_functional_lun_tool_LDADD = src/lib/libqmcore.la $(LIBISCSI_LIBS)

# Unit tests under valgrind; not part of tests/run, whose sanitizers see more.
.PHONY: check-valgrind
check-valgrind: $(check_PROGRAMS)
	for t in $(TESTS); do echo $$t; $(LIBTOOL) --mode=execute valgrind -q \
	    --child-silent-after-fork=yes \
	    --leak-check=full --errors-for-leak-kinds=definite \
	    --error-exitcode=99 $$t >/dev/null || exit 1; done

# Static analysers over all programs.
.PHONY: check-security
check-security:
	QM_SRC=$(abs_top_srcdir) QM_BUILD=$(abs_top_builddir) \
	    $(srcdir)/tests/security/check

# Takeovers under load.
noinst_PROGRAMS += tests/functional/lun-stress
tests_functional_lun_stress_SOURCES = tests/functional/lun-stress.c
tests_functional_lun_stress_LDADD = src/lib/libqmcore.la

# Preloaded into a target: a slow medium.
noinst_LTLIBRARIES += tests/functional/slow-pwrite.la
tests_functional_slow_pwrite_la_SOURCES = tests/functional/slow-pwrite.c
tests_functional_slow_pwrite_la_LIBADD = -ldl
# Without a sanitizer, also where all else has one: the target has none.
tests_functional_slow_pwrite_la_CFLAGS = $(GLIB_CFLAGS) -Wall
tests_functional_slow_pwrite_la_LDFLAGS = \
	-module -avoid-version -shared -rpath /nowhere

# Preloaded into a node's programs: a clock that is wrong.
noinst_LTLIBRARIES += tests/cluster/skewed-clock.la
tests_cluster_skewed_clock_la_SOURCES = tests/cluster/skewed-clock.c
tests_cluster_skewed_clock_la_CFLAGS = -Wall
tests_cluster_skewed_clock_la_LDFLAGS = \
	-module -avoid-version -shared -rpath /nowhere

# Vaults on LUNs, as several nodes see them.
noinst_PROGRAMS += tests/functional/vault-lun-test
tests_functional_vault_lun_test_SOURCES = tests/functional/vault-lun-test.c
tests_functional_vault_lun_test_LDADD = src/lib/libqmcore.la $(CMOCKA_LIBS)

# What libiscsi and a target can do, to compare ours with.
noinst_PROGRAMS += tests/bench/bare-stream
tests_bench_bare_stream_SOURCES = tests/bench/bare-stream.c
tests_bench_bare_stream_LDADD = $(LIBISCSI_LIBS)

# Several nodes against each other.
noinst_PROGRAMS += tests/functional/lun-race
tests_functional_lun_race_SOURCES = tests/functional/lun-race.c
tests_functional_lun_race_LDADD = src/lib/libqmcore.la

# An image through our own reader and writer; see tests/bench/stream.sh.
noinst_PROGRAMS += tests/bench/stream
tests_bench_stream_SOURCES = tests/bench/stream.c
tests_bench_stream_LDADD = src/lib/libqmcore.la
