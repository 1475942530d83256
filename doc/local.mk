# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# Manual pages are written by hand; installed as they are.

dist_man_MANS = \
	doc/quickmig-gate.8 \
	doc/quickmig-vault.5 \
	doc/quickmig.8 \
	$(NULL)

dist_doc_DATA = \
	doc/architecture.md \
	doc/protocol.md \
	doc/tutorial.md \
	$(NULL)

EXTRA_DIST += \
	doc/decisions/0001-nbd-gate.md \
	doc/decisions/0002-vault-lun.md \
	doc/decisions/0003-external-snapshot.md \
	doc/decisions/0004-gerror.md \
	doc/decisions/0005-directory-or-lun.md \
	doc/decisions/0006-reservation-and-barrier.md \
	doc/decisions/0007-record-and-membership.md \
	doc/decisions/0008-one-source-of-truth.md \
	$(NULL)
