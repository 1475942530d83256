# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# The log's directory, and what the system needs to know of it.

EXTRA_DIST += \
	contrib/quickmig.logrotate.in \
	contrib/quickmig.tmpfiles.in \
	$(NULL)

logdir = $(localstatedir)/log/quickmig
logrotatedir = $(sysconfdir)/logrotate.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
substitute_dirs = \
	sed 's|@logdir@|$(logdir)|; s|@runstatedir@|$(runstatedir)|'

# Only root may read the log.
install-data-hook:
	$(INSTALL) -d -m 700 "$(DESTDIR)$(logdir)"
	$(MKDIR_P) "$(DESTDIR)$(logrotatedir)"
	$(substitute_dirs) $(srcdir)/contrib/quickmig.logrotate.in \
		> "$(DESTDIR)$(logrotatedir)/quickmig"
if WITH_SYSTEMD
	$(MKDIR_P) "$(DESTDIR)$(tmpfilesdir)"
	$(substitute_dirs) $(srcdir)/contrib/quickmig.tmpfiles.in \
		> "$(DESTDIR)$(tmpfilesdir)/quickmig.conf"
endif

# A log that was written stays.
uninstall-hook:
	rm -f "$(DESTDIR)$(logrotatedir)/quickmig" \
		"$(DESTDIR)$(tmpfilesdir)/quickmig.conf"
	-rmdir "$(DESTDIR)$(logdir)" 2>/dev/null
