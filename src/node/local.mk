# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# quickmigd: one per node.

sbin_PROGRAMS += src/node/quickmigd
src_node_quickmigd_SOURCES = \
	src/node/events.c \
	src/node/events.h \
	src/node/main.c \
	src/node/metrics.c \
	src/node/moves.c \
	src/node/node.h \
	src/node/publish.c \
	src/node/survey-past.c \
	src/node/survey-read.c \
	src/node/survey.c \
	src/node/survey.h \
	src/node/worker.c \
	$(NULL)
src_node_quickmigd_CFLAGS = $(AM_CFLAGS) $(PIE_CFLAGS)
src_node_quickmigd_LDFLAGS = $(AM_LDFLAGS) $(PIE_LDFLAGS)
src_node_quickmigd_LDADD = src/lib/libqmcore.la

EXTRA_DIST += src/node/quickmigd.service.in
CLEANFILES += src/node/quickmigd.service
if WITH_SYSTEMD
systemdsystemunit_DATA = src/node/quickmigd.service
endif
src/node/quickmigd.service: src/node/quickmigd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) src/node && \
	sed 's|@sbindir[@]|$(sbindir)|' \
	    $(srcdir)/src/node/quickmigd.service.in > $@
