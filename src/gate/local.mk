# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# quickmig-gate: one process a disk.  Everything but main() is a library, so
# that the unit tests can link it.

noinst_LTLIBRARIES += src/gate/libqmgate.la
src_gate_libqmgate_la_SOURCES = \
	src/gate/clients.c \
	src/gate/control.c \
	src/gate/control.h \
	src/gate/fence.c \
	src/gate/fence.h \
	src/gate/gate.c \
	src/gate/gate.h \
	src/gate/loop.c \
	src/gate/loop.h \
	src/gate/merge.c \
	src/gate/nbd-proto.c \
	src/gate/nbd-proto.h \
	src/gate/nbd.c \
	src/gate/nbd.h \
	src/gate/queue.c \
	src/gate/request.c \
	src/gate/request.h \
	src/gate/sandbox.c \
	src/gate/sandbox.h \
	src/gate/serve.c \
	src/gate/session.c \
	src/gate/session.h \
	src/gate/settings.c \
	src/gate/settings.h \
	src/gate/states.c \
	src/gate/states.h \
	$(NULL)
src_gate_libqmgate_la_LIBADD = src/lib/libqmcore.la \
	$(SECCOMP_LIBS) $(CAPNG_LIBS)

gatedir = $(libexecdir)/quickmig
gate_PROGRAMS = src/gate/quickmig-gate
src_gate_quickmig_gate_SOURCES = src/gate/main.c
src_gate_quickmig_gate_LDADD = src/gate/libqmgate.la
