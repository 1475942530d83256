# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors

# Damages vaults, for tests of the programs that read them.
noinst_PROGRAMS += tests/functional/vault-poke
tests_functional_vault_poke_SOURCES = tests/functional/vault-poke.c
tests_functional_vault_poke_LDADD = src/lib/libqmcore.la
