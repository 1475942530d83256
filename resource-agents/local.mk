# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# ocf:quickmig:VirtualMachine.  The objects are a library of their own, so
# that tests run actions without main().

noinst_LTLIBRARIES += resource-agents/libqmagent.la
resource_agents_libqmagent_la_SOURCES = \
	resource-agents/actions.c \
	resource-agents/agent.h \
	resource-agents/metadata.c \
	resource-agents/params.c \
	$(NULL)
resource_agents_libqmagent_la_LIBADD = src/lib/libqmcore.la

agent_PROGRAMS = resource-agents/VirtualMachine
resource_agents_VirtualMachine_SOURCES = resource-agents/main.c
resource_agents_VirtualMachine_CFLAGS = $(AM_CFLAGS) $(PIE_CFLAGS)
resource_agents_VirtualMachine_LDFLAGS = $(AM_LDFLAGS) $(PIE_LDFLAGS)
resource_agents_VirtualMachine_LDADD = resource-agents/libqmagent.la

agent_PROGRAMS += resource-agents/Node
resource_agents_Node_SOURCES = resource-agents/node.c
resource_agents_Node_CFLAGS = $(AM_CFLAGS) $(PIE_CFLAGS)
resource_agents_Node_LDFLAGS = $(AM_LDFLAGS) $(PIE_LDFLAGS)
resource_agents_Node_LDADD = src/lib/libqmcore.la
