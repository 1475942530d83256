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
