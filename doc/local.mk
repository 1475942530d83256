# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# Manual pages are written by hand; the agent's is made from its meta-data and
# kept in git, so that a build needs no xsltproc.

dist_man_MANS = \
	doc/ocf_quickmig_Node.7 \
	doc/ocf_quickmig_VirtualMachine.7 \
	doc/quickmig-gate.8 \
	doc/quickmig-vault.5 \
	doc/quickmig.8 \
	doc/quickmigd.8 \
	$(NULL)

dist_doc_DATA = \
	doc/architecture.md \
	doc/chaos-report.md \
	doc/crash-report.md \
	doc/faults.md \
	doc/metrics.md \
	doc/model.md \
	doc/security.md \
	doc/performance.md \
	doc/placement.md \
	doc/policies.md \
	doc/protocol.md \
	doc/tutorial.md \
	$(NULL)

EXTRA_DIST += \
	doc/ocf_quickmig_VirtualMachine.xsl \
	doc/decisions/0001-nbd-gate.md \
	doc/decisions/0002-vault-lun.md \
	doc/decisions/0003-external-snapshot.md \
	doc/decisions/0004-gerror.md \
	doc/decisions/0005-directory-or-lun.md \
	doc/decisions/0006-reservation-and-barrier.md \
	doc/decisions/0007-record-and-membership.md \
	doc/decisions/0008-one-source-of-truth.md \
	doc/decisions/0009-hints-and-workers.md \
	doc/decisions/0010-live-save.md \
	doc/decisions/0011-crash-points.md \
	doc/decisions/0012-which-image-was-loaded.md \
	doc/decisions/0013-chaos.md \
	$(NULL)

.PHONY: update-agent-man
update-agent-man: resource-agents/VirtualMachine
	resource-agents/VirtualMachine meta-data | $(XSLTPROC) --nonet \
	    $(srcdir)/doc/ocf_quickmig_VirtualMachine.xsl - \
	    > $(srcdir)/doc/ocf_quickmig_VirtualMachine.7.new
	mv -f $(srcdir)/doc/ocf_quickmig_VirtualMachine.7.new \
	    $(srcdir)/doc/ocf_quickmig_VirtualMachine.7
