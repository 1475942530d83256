# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# quickmig, the administrator's program.

# Everything but main(), so that tests can call it.
noinst_LTLIBRARIES += src/cli/libqmcli.la
src_cli_libqmcli_la_SOURCES = \
	src/cli/advice.c \
	src/cli/advice.h \
	src/cli/check.c \
	src/cli/check.h \
	src/cli/cli.h \
	src/cli/cmd-capacity.c \
	src/cli/cmd-discard.c \
	src/cli/cmd-discover.c \
	src/cli/cmd-drain.c \
	src/cli/cmd-doctor.c \
	src/cli/cmd-history.c \
	src/cli/cmd-hosts.c \
	src/cli/cmd-jobs.c \
	src/cli/cmd-move.c \
	src/cli/cmd-plan.c \
	src/cli/cmd-protect.c \
	src/cli/cmd-status.c \
	src/cli/cmd-unprotect.c \
	src/cli/cmd-vault-cpu.c \
	src/cli/cmd-vault-create.c \
	src/cli/cmd-vault.c \
	src/cli/command.c \
	src/cli/doctor-cluster.c \
	src/cli/doctor-gather.c \
	src/cli/doctor-node.c \
	src/cli/doctor-secret.c \
	src/cli/doctor-vm.c \
	src/cli/doctor.c \
	src/cli/doctor.h \
	src/cli/editor.c \
	src/cli/editor.h \
	src/cli/hardware.c \
	src/cli/hardware.h \
	src/cli/look.c \
	src/cli/moves.c \
	src/cli/moves.h \
	src/cli/options.c \
	src/cli/options.h \
	src/cli/outlook.c \
	src/cli/outlook.h \
	src/cli/output.c \
	src/cli/output.h \
	src/cli/protect-rate.c \
	src/cli/protect.c \
	src/cli/protect.h \
	src/cli/preview.c \
	src/cli/preview.h \
	src/cli/protection.c \
	src/cli/protection.h \
	src/cli/reach.c \
	src/cli/reach.h \
	src/cli/xml-change.c \
	src/cli/xml-change.h \
	$(NULL)
src_cli_libqmcli_la_LIBADD = src/lib/libqmcore.la

sbin_PROGRAMS = src/cli/quickmig
src_cli_quickmig_SOURCES = src/cli/main.c
src_cli_quickmig_CFLAGS = $(AM_CFLAGS) $(PIE_CFLAGS)
src_cli_quickmig_LDFLAGS = $(AM_LDFLAGS) $(PIE_LDFLAGS)
src_cli_quickmig_LDADD = src/cli/libqmcli.la

dist_bashcompletion_DATA = src/cli/bash-completion/quickmig
