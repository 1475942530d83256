#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The same as cluster.crm, for pcs.  Written into a copy of the CIB first, so
# that the cluster sees one change: sh cluster.pcs.sh

set -eu
cib=$(mktemp)
trap 'rm -f "$cib"' EXIT

pcs cluster cib "$cib"
pcs -f "$cib" property set stonith-enabled=true migration-limit=2
pcs -f "$cib" resource defaults update resource-stickiness=200

pcs -f "$cib" resource create web ocf:quickmig:VirtualMachine \
    vault=iscsi://web@192.0.2.10/iqn.2026-01.org.example:web/2 \
    op start timeout=180s stop timeout=300s \
    monitor interval=10s timeout=30s \
    migrate_to timeout=300s migrate_from timeout=180s \
    meta allow-migrate=true

# A VM that shuts down instead of being saved, and is never booted without its
# memory after a failed restore.
pcs -f "$cib" resource create db ocf:quickmig:VirtualMachine \
    vault=iscsi://db@192.0.2.10/iqn.2026-01.org.example:db/2 \
    stop_action=shutdown on_restore_failure=block compress=lz4 \
    op start timeout=180s stop timeout=300s \
    monitor interval=10s timeout=30s \
    migrate_to timeout=300s migrate_from timeout=180s \
    meta allow-migrate=true

# Makes moves and the detection of failures faster; nothing depends on it, so
# it is only ordered: before the VMs where it starts, after them when it stops.
pcs -f "$cib" resource create quickmigd ocf:quickmig:Node \
    op start timeout=20s stop timeout=20s monitor interval=15s timeout=20s \
    clone interleave=true
for vm in web db; do
    pcs -f "$cib" constraint order start quickmigd-clone "then" start $vm \
        kind=Optional symmetrical=false id=quickmigd-before-$vm
    pcs -f "$cib" constraint order stop $vm "then" stop quickmigd-clone \
        kind=Mandatory symmetrical=false id=quickmigd-after-$vm
done

for vm in web db; do
    pcs -f "$cib" resource utilization $vm cpu=2 memory=4096
done

# Never where quickmigd says that it cannot run; best where the rating is
# highest. Ratings are at most 100: they do not move a VM that runs.
for vm in web db; do
    pcs -f "$cib" constraint location $vm rule constraint-id=$vm-where \
        score=-INFINITY quickmig-eligible-$vm eq no
    pcs -f "$cib" constraint rule add $vm-where \
        score-attribute=quickmig-rating-$vm defined quickmig-rating-$vm
done

# They prefer not to share a node.
pcs -f "$cib" constraint colocation add db with web score=-100

pcs cluster cib-push "$cib"
