# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# libquickmig: one set of objects, linked into our programs as they are and
# into the shared library with only the public names visible.

quickmigincludedir = $(includedir)/quickmig
quickmiginclude_HEADERS = \
	include/quickmig/error.h \
	include/quickmig/lifecycle.h \
	include/quickmig/record.h \
	include/quickmig/vault.h \
	$(NULL)

noinst_LTLIBRARIES += src/lib/libqmcore.la
src_lib_libqmcore_la_SOURCES = \
	src/lib/agent-reply.c \
	src/lib/agent-reply.h \
	src/lib/boot.c \
	src/lib/bounded.c \
	src/lib/bounded.h \
	src/lib/capacity.c \
	src/lib/capacity.h \
	src/lib/cib-read.c \
	src/lib/cib-read.h \
	src/lib/cib.c \
	src/lib/clock.c \
	src/lib/cluster-attributes.c \
	src/lib/cluster-capacity.c \
	src/lib/cluster-fencing.c \
	src/lib/cluster-gone.c \
	src/lib/cluster-internal.h \
	src/lib/cluster.c \
	src/lib/cluster.h \
	src/lib/codec.h \
	src/lib/converge.c \
	src/lib/converge.h \
	src/lib/cpu-baseline.c \
	src/lib/cpu.c \
	src/lib/cpu.h \
	src/lib/crash.h \
	src/lib/crc32c.c \
	src/lib/crc32c.h \
	src/lib/disk-note.c \
	src/lib/disk-note.h \
	src/lib/domxml-gates.c \
	src/lib/domxml-internal.h \
	src/lib/domxml.c \
	src/lib/engine-blind.c \
	src/lib/engine-disks.c \
	src/lib/engine-early.c \
	src/lib/engine-health.c \
	src/lib/engine-identity.c \
	src/lib/engine-monitor.c \
	src/lib/engine-move.c \
	src/lib/engine-receive.c \
	src/lib/engine-restore.c \
	src/lib/engine-save.c \
	src/lib/engine-start.c \
	src/lib/engine-stop.c \
	src/lib/engine-stream.c \
	src/lib/engine.c \
	src/lib/domxml.h \
	src/lib/engine.h \
	src/lib/eligible.c \
	src/lib/eligible.h \
	src/lib/error.c \
	src/lib/facts.c \
	src/lib/facts.h \
	src/lib/gate-client-internal.h \
	src/lib/gate-client.c \
	src/lib/gate-client.h \
	src/lib/gate-start.c \
	src/lib/harden.c \
	src/lib/harden.h \
	src/lib/health.c \
	src/lib/health.h \
	src/lib/hints.c \
	src/lib/hints.h \
	src/lib/host.c \
	src/lib/host.h \
	src/lib/image-check.c \
	src/lib/image-chunk.c \
	src/lib/image-codec.c \
	src/lib/image-codec.h \
	src/lib/image-crypt.c \
	src/lib/image-crypt.h \
	src/lib/image-read.c \
	src/lib/image-write.c \
	src/lib/image-xml.c \
	src/lib/image-xml.h \
	src/lib/image.h \
	src/lib/iscsi-login.c \
	src/lib/iscsi-login.h \
	src/lib/iscsi-pdu.h \
	src/lib/iscsi-text.c \
	src/lib/iscsi-text.h \
	src/lib/iscsi-wire-in.c \
	src/lib/iscsi-wire-internal.h \
	src/lib/iscsi-wire.c \
	src/lib/iscsi-wire.h \
	src/lib/live.c \
	src/lib/live.h \
	src/lib/inventory.c \
	src/lib/inventory.h \
	src/lib/job.c \
	src/lib/job.h \
	src/lib/lifecycle.c \
	src/lib/local.c \
	src/lib/local.h \
	src/lib/log.c \
	src/lib/log.h \
	src/lib/lun-command.c \
	src/lib/lun-internal.h \
	src/lib/lun-libiscsi.c \
	src/lib/lun-link.h \
	src/lib/lun-login.c \
	src/lib/lun-probe.c \
	src/lib/lun-sense.c \
	src/lib/lun-sync.c \
	src/lib/lun-wire.c \
	src/lib/lun.c \
	src/lib/lun.h \
	src/lib/lun-watch.c \
	src/lib/lun-watch.h \
	src/lib/needs.c \
	src/lib/needs.h \
	src/lib/netmap.c \
	src/lib/netmap.h \
	src/lib/pace.c \
	src/lib/pace.h \
	src/lib/peer.c \
	src/lib/peer.h \
	src/lib/placement.c \
	src/lib/placement.h \
	src/lib/rating.c \
	src/lib/rating.h \
	src/lib/record.c \
	src/lib/reservation.c \
	src/lib/reservation.h \
	src/lib/runtime.c \
	src/lib/runtime.h \
	src/lib/settle.c \
	src/lib/settle.h \
	src/lib/spawn.c \
	src/lib/spawn.h \
	src/lib/store.h \
	src/lib/stream-internal.h \
	src/lib/stream-pump.c \
	src/lib/stream.c \
	src/lib/stream.h \
	src/lib/timeouts.c \
	src/lib/timeouts.h \
	src/lib/told.c \
	src/lib/told.h \
	src/lib/url.c \
	src/lib/vault-backend.h \
	src/lib/vault-dir.c \
	src/lib/vault-format.c \
	src/lib/vault-format.h \
	src/lib/vault-lun.c \
	src/lib/vault.c \
	src/lib/virt-open.c \
	src/lib/virt-open.h \
	src/lib/vm-agent.c \
	src/lib/vm-call.c \
	src/lib/vm-define.c \
	src/lib/vm-define.h \
	src/lib/vm-host.c \
	src/lib/vm-internal.h \
	src/lib/vm-job.c \
	src/lib/vm-live.c \
	src/lib/vm-orphan.c \
	src/lib/vm.c \
	src/lib/vm.h \
	src/lib/worker.c \
	src/lib/worker.h \
	src/lib/xml-walk.c \
	src/lib/xml-walk.h \
	$(NULL)
if CRASH_POINTS
src_lib_libqmcore_la_SOURCES += src/lib/crash.c
endif
src_lib_libqmcore_la_LIBADD = \
	$(GLIB_LIBS) \
	$(JSON_GLIB_LIBS) \
	$(LIBXML_LIBS) \
	$(LZ4_LIBS) \
	$(CRYPTO_LIBS) \
	$(UUID_LIBS) \
	$(COROSYNC_LIBS) \
	$(PACEMAKER_LIBS) \
	$(LIBVIRT_LIBS) \
	$(LIBISCSI_LIBS) \
	-lpthread \
	$(NULL)

lib_LTLIBRARIES += src/lib/libquickmig.la
src_lib_libquickmig_la_SOURCES =
src_lib_libquickmig_la_LIBADD = src/lib/libqmcore.la
src_lib_libquickmig_la_LDFLAGS = \
	$(AM_LDFLAGS) \
	-version-info 0:0:0 \
	-export-symbols-regex '^qm_[a-z]' \
	-no-undefined \
	$(NULL)

pkgconfigdir = $(libdir)/pkgconfig
nodist_pkgconfig_DATA = src/lib/quickmig.pc
EXTRA_DIST += src/lib/quickmig.pc.in
