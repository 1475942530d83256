# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors

EXTRA_DIST += \
	examples/demo \
	examples/cluster.crm \
	examples/cluster.pcs.sh \
	examples/vm.xml \
	$(NULL)
