<?xml version="1.0" encoding="UTF-8"?>
<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->
<!-- Copyright (C) 2026 the quickmig authors -->
<!-- The agent's meta-data as a manual page: make update-agent-man -->
<xsl:stylesheet version="1.0"
    xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="text" encoding="UTF-8"/>
<xsl:strip-space elements="*"/>

<xsl:template match="/resource-agent">
<xsl:text>.\" SPDX-License-Identifier: LGPL-2.1-or-later
.\" Copyright (C) 2026 the quickmig authors
.\" Generated from the agent's meta-data: make update-agent-man
.TH OCF_QUICKMIG_VIRTUALMACHINE 7 "" "quickmig </xsl:text>
<xsl:value-of select="@version"/>
<xsl:text>" "OCF resource agents"
.SH NAME
ocf_quickmig_VirtualMachine \- </xsl:text>
<xsl:call-template name="prose">
  <xsl:with-param name="text" select="shortdesc"/>
</xsl:call-template>
<xsl:text>
.SH SYNOPSIS
.B ocf:quickmig:VirtualMachine
.SH DESCRIPTION
</xsl:text>
<xsl:call-template name="prose">
  <xsl:with-param name="text" select="longdesc"/>
</xsl:call-template>
<xsl:text>
.SH PARAMETERS
Those marked reloadable can be changed while the VM runs, without a restart.
After
.B crm resource cleanup
or
.B quickmig cancel
of a running VM, however, Pacemaker 2.1.5 knows it by a probe only, and does not
reload it: the next change stops and starts the VM,
which is saved and restored, once.
</xsl:text>
<xsl:apply-templates select="parameters/parameter"/>
<xsl:text>.SH ACTIONS
With the timeouts that are advised for 4 GiB of memory at 100 MB/s;
.B quickmig vault create
prints them for your VM.
</xsl:text>
<xsl:apply-templates select="actions/action"/>
<xsl:text>.PP
At
.B OCF_CHECK_LEVEL
0
.B validate\-all
looks at the parameters only.
At 10 it also reads the vault, checks that the VM's memory fits into it, and
warns when the timeouts are too short at the throughput measured last.
With
.B health_command
it fails (6) where the domain has no channel for the guest agent.
.SH "HEALTH OF THE GUEST"
A
.B monitor
at level 10 also asks the guest, by the QEMU guest agent, whether it is alive.
It is an operation that you add, beside the one at level 0:
.PP
.nf
op monitor timeout=30s interval=30s OCF_CHECK_LEVEL=10
.fi
.PP
The domain needs a channel for it, and the guest the package qemu\-guest\-agent:
.PP
.nf
&lt;channel type='unix'&gt;
  &lt;target type='virtio' name='org.qemu.guest_agent.0'/&gt;
&lt;/channel&gt;
.fi
.PP
Without that channel the monitor answers 6, and Pacemaker stops the VM on all
nodes: add the channel first, then the operation.
The interval has to be another one than level 0 has.
.PP
The VM fails after
.B health_misses
misses in a row, so that a guest that is busy for a moment is left alone.
A guest that failed is not saved, whatever
.B stop_action
says: its restored memory would hang again.
It is asked to shut down, powered off after
.BR shutdown_timeout ,
and booted.
Misses do not count while the VM is paused, saved or moved.
Let
.B health_misses
times the interval be longer than the guest needs for a reboot of its own.
</xsl:text>
<xsl:copy-of select="document('')/*/xsl:variable[@name='rest']/text()"/>
</xsl:template>

<xsl:template match="parameter">
<xsl:text>.TP
.B </xsl:text>
<xsl:value-of select="@name"/>
<xsl:text>
</xsl:text>
<xsl:call-template name="prose">
  <xsl:with-param name="text" select="longdesc"/>
</xsl:call-template>
<xsl:text>
.br
(</xsl:text>
<xsl:choose>
<xsl:when test="@required = '1'">required</xsl:when>
<xsl:otherwise>optional</xsl:otherwise>
</xsl:choose>
<xsl:if test="@unique-group">, unique</xsl:if>
<xsl:text>, </xsl:text>
<xsl:choose>
<xsl:when test="content/option">
<xsl:for-each select="content/option">
<xsl:if test="position() &gt; 1"> | </xsl:if>
<xsl:value-of select="@value"/>
</xsl:for-each>
</xsl:when>
<xsl:otherwise><xsl:value-of select="content/@type"/></xsl:otherwise>
</xsl:choose>
<xsl:if test="content/@default">
<xsl:text>, default </xsl:text>
<xsl:value-of select="content/@default"/>
</xsl:if>
<xsl:if test="@reloadable = '1'">, reloadable</xsl:if>
<xsl:text>)
</xsl:text>
</xsl:template>

<xsl:template match="action">
<xsl:text>.TP
.B </xsl:text>
<xsl:value-of select="@name"/>
<xsl:text>
timeout </xsl:text>
<xsl:value-of select="@timeout"/>
<xsl:if test="@interval">, interval <xsl:value-of select="@interval"/></xsl:if>
<xsl:text>
</xsl:text>
</xsl:template>

<!-- A sentence a line, and nothing that roff takes for a request. -->
<xsl:template name="prose">
<xsl:param name="text"/>
<xsl:call-template name="sentences">
  <xsl:with-param name="text"
      select="translate(normalize-space($text), '\', '/')"/>
</xsl:call-template>
</xsl:template>

<xsl:template name="sentences">
<xsl:param name="text"/>
<xsl:choose>
<xsl:when test="contains($text, '. ')">
<xsl:value-of select="substring-before($text, '. ')"/>
<xsl:text>.
</xsl:text>
<xsl:call-template name="sentences">
  <xsl:with-param name="text" select="substring-after($text, '. ')"/>
</xsl:call-template>
</xsl:when>
<xsl:otherwise><xsl:value-of select="$text"/></xsl:otherwise>
</xsl:choose>
</xsl:template>

<xsl:variable name="rest">.SH "EXIT CODES"
.TP
.B 0
Success; for
.BR monitor :
the VM runs here.
.TP
.B 1
Failed, or it cannot be told.
A vault that cannot be read, a libvirtd that does not answer, a record that
contradicts what is seen: never "not running".
.TP
.B 2
Called with other than one argument.
.TP
.B 3
Unknown action.
.TP
.B 5
The vault has a format that is newer than this program.
.TP
.B 6
A parameter is missing, malformed or unknown; at level 10: the domain has no
channel for the guest agent.
.TP
.B 7
.BR monitor :
the VM surely does not run here.
.PP
.B migrate_to
and
.B migrate_from
answer 0 or 1 only: 5 and 6 would make Pacemaker stop the VM everywhere.
.B stop
never answers 6: for a parameter that is malformed it takes the default, and
where no vault is named it stops what this resource started on the node.
The reason of a failure is in Pacemaker's status
.RB ( "crm_mon \-1f" ).
.SH ENVIRONMENT
.TP
.BI OCF_RESKEY_ name
The parameters.
.TP
.B OCF_RESKEY_CRM_meta_timeout
The action's timeout in ms; all limits derive from it.
Without it: 60 s.
.TP
.B OCF_RESKEY_CRM_meta_migrate_target
.BR migrate_to :
the name of the node to move to.
.TP
.B OCF_RESKEY_CRM_meta_interval
.BR monitor :
none or 0 for a probe.
.TP
.B OCF_CHECK_LEVEL
See above.
.TP
.B OCF_RESOURCE_INSTANCE
The resource's name, for messages.
.SH FILES
.TP
.I /run/quickmig
What this node knows of its VMs in this boot: locks, the gates' sockets.
.TP
.I /var/log/quickmig/quickmig.log
What actions and gates did, with times and figures; also in syslog.
.TP
.I /etc/iscsi/initiatorname.iscsi
This node's initiator name; every node needs its own.
.SH EXAMPLES
Make the vault, then the resource.
crmsh creates no operations by itself:
.PP
.nf
# quickmig vault create iscsi://192.0.2.10/iqn.2026\-01.org.example:web/2 \e
      \-\-xml web.xml
.fi
.PP
With crmsh:
.PP
.nf
# crm configure primitive web ocf:quickmig:VirtualMachine \e
      params vault=iscsi://192.0.2.10/iqn.2026\-01.org.example:web/2 \e
      op start timeout=180s interval=0 \e
      op stop timeout=300s interval=0 \e
      op monitor timeout=30s interval=10s \e
      op migrate_to timeout=300s interval=0 \e
      op migrate_from timeout=180s interval=0 \e
      meta allow\-migrate=true
# crm resource move web node2
.fi
.PP
With pcs:
.PP
.nf
# pcs resource create web ocf:quickmig:VirtualMachine \e
      vault=iscsi://192.0.2.10/iqn.2026\-01.org.example:web/2 \e
      op start timeout=180s stop timeout=300s \e
      monitor interval=10s timeout=30s \e
      migrate_to timeout=300s migrate_from timeout=180s \e
      meta allow\-migrate=true
# pcs resource move web node2
.fi
.SH "SEE ALSO"
.BR quickmig (8),
.BR quickmig\-vault (5),
.BR quickmig\-gate (8),
.BR virsh (1),
.BR crm_mon (8)
</xsl:variable>
</xsl:stylesheet>
