#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 300
#
# quickmig doctor on a real cluster: a healthy one has no finding; each of the
# faults that are planted is found; the commands that it prints mend what
# commands can mend, and then it is healthy again.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

LUN_TOOL=$QM_BUILD/tests/functional/lun-tool
NAME_FILE=/etc/iscsi/initiatorname.iscsi

# doctor NODE CODE: REPORT is what it found there.
doctor() {
    local code=0
    REPORT=$(on "$1" quickmig doctor --json 2>/dev/null) || code=$?
    [[ $code -eq $2 ]] || die "doctor on $1 ended with $code, not $2: $REPORT"
}

# found CHECK SUBJECT SEVERITY
found() {
    jq -e --arg c "$1" --arg s "$2" --arg w "$3" \
        '.findings | any(.check == $c and .subject == $s and .severity == $w)' \
        <<<"$REPORT" >/dev/null || die "$1 of $2 is not found: $REPORT"
    FOUND=$((FOUND + 1))
}

# The command that is printed for it, run on NODE.
mend() { # NODE CHECK SUBJECT
    local command
    command=$(jq -r --arg c "$2" --arg s "$3" 'first(.findings[] |
        select(.check == $c and .subject == $s)).mend' <<<"$REPORT")
    on "$1" sh -c "$command" >/dev/null 2>&1 || die "cannot mend $2: $command"
    say "mended $2: $command"
}

same_name_twice() {
    cp -p "$QM_LAB_DIR/nodes/n3/etc/upper/iscsi/initiatorname.iscsi" \
        "$QM_LAB_DIR/n3.name" 2>/dev/null ||
        on n3 cat $NAME_FILE >"$QM_LAB_DIR/n3.name"
    on n2 cat $NAME_FILE | on n3 tee $NAME_FILE >/dev/null
    restart_daemon n3
}

restart_daemon() {
    on "$1" pkill -x quickmigd
    lab_wait_until 60 published "$1" "$(on "$1" sed -n 's/^InitiatorName=//p' \
        $NAME_FILE)" || die "quickmigd of $1 says nothing"
    cluster_idle
}

published() {
    on n1 attrd_updater -Q -n quickmig-initiator -N "$1" |
        grep -q "value=\"$2\""
}

# In maintenance, so that nothing is mended by Pacemaker before it is seen.
plant() {
    local here=$1 gate
    same_name_twice
    on n1 crm_attribute --type crm_config --name maintenance-mode --update true
    cluster_idle
    on n1 cibadmin --delete --xml-text '<op id="vm1-monitor-10s"/>'
    on n1 crm_attribute --type crm_config --name stonith-enabled --update false
    on n1 crm_resource -r vm1 --ban -N n3
    on n1 crm_resource -r vm1 --meta -p resource-stickiness -v 0
    on n1 crm_resource -r vm1 --meta -p allow-migrate -v false
    on n1 cibadmin --modify --xml-text \
        '<op id="vm1-stop-0" timeout="5s"/>'
    on n1 crm_standby -N n3 -v on
    on n1 chmod 666 $NAME_FILE
    on "$here" virsh -q define "$QM_LAB_DIR/vm1.xml" >/dev/null
    on n1 crm_resource -r vm1 --utilization -p memory -v 160
    for n in $NODES; do
        on n1 crm_attribute --node "$n" --utilization --name memory --update 100
    done
    on n1 "$LUN_TOOL" "$(lab lun url vm2-disk)" 77 foreign 0x1234 5 drop ||
        die "lun-tool"
    sed "s,<memory[^/]*/memory>,<memory unit='GiB'>2</memory>," \
        "$QM_LAB_DIR/vm2.xml" >"$QM_LAB_DIR/big.xml"
    on n1 quickmig vault edit vm2 --xml "$QM_LAB_DIR/big.xml" --no-check \
        >/dev/null || die "vault edit"
    on n1 crm configure primitive vm3 ocf:quickmig:VirtualMachine \
        params vault="${VM_VAULT[vm2]}" op monitor interval=10s timeout=30s \
        op start timeout=180s interval=0 op stop timeout=300s interval=0 \
        op migrate_to timeout=300s interval=0 \
        op migrate_from timeout=180s interval=0 \
        meta target-role=Stopped allow-migrate=true >/dev/null 2>&1 ||
        die "vm3"
    gate=$(on "$here" quickmig status --json vm1 | jq .vms[0].gates[0].pid)
    [[ $gate -gt 1 ]] || die "no gate of vm1 on $here"
    on "$here" kill -KILL "$gate"
}

all_are_found() {
    local here=$1
    doctor "$here" 6
    found initiator-name n3 error
    found operations vm1 error
    found maintenance cluster warning
    found stonith-enabled cluster error
    found leftover-constraints vm1 warning
    found stickiness vm1 warning
    found allow-migrate vm1 error
    found timeouts vm1 warning
    found nodes n3 warning
    found definitions vm1 error
    found capacity "$here" warning
    found reservations vm2 error
    found vault-size vm2 error
    found one-lun-one-vm vm3 error
    found gates vm1 error
    [[ $here != n1 ]] || found permissions $NAME_FILE error
}

# What is not a matter of one command is undone by hand.
mend_all() {
    local here=$1 n
    for check in "stonith-enabled cluster" "leftover-constraints vm1" \
        "stickiness vm1" "allow-migrate vm1" "timeouts vm1" "nodes n3" \
        "operations vm1"; do
        # shellcheck disable=SC2086 # two words
        mend "$here" $check
    done
    mend "$here" definitions vm1
    mend n1 permissions $NAME_FILE
    on n3 tee $NAME_FILE <"$QM_LAB_DIR/n3.name" >/dev/null
    for n in $NODES; do
        on n1 crm_attribute --node "$n" --utilization --name memory \
            --update 4000
    done
    on n1 crm configure delete vm3 >/dev/null 2>&1 || die "delete vm3"
    on n1 crm configure delete vm2 >/dev/null 2>&1 || die "delete vm2"
    mend "$here" maintenance cluster
    cluster_idle
    restart_daemon n3
}

libvirt_is_away() {
    lab libvirtd n3 stop
    doctor n3 6
    found libvirt n3 error
    lab libvirtd n3 start
}

cluster_is_away() {
    lab pacemaker n3 stop
    doctor n3 6
    found cluster cluster error
    jq -e '.skipped > 20' <<<"$REPORT" >/dev/null || die "nothing skipped"
}

FOUND=0
cluster_up 3
node_daemons_up
vm_create vm1 lun -- --ip 10.77.0.101
vm_create vm2 lun --
on n1 crm configure location vm1-on-n1 vm1 10: n1
vm_start vm1
lab_wait_until 30 published n3 iqn.2026-11.org.quickmig.lab:n3 ||
    die "n3 has not published its name"
vm_remember vm1
for n in $NODES; do
    doctor "$n" 0
    jq -e '.warnings == 0 and .errors == 0 and .skipped == 0 and
        (.checks | length) >= 30' <<<"$REPORT" >/dev/null ||
        die "a healthy cluster: $REPORT"
done
say "healthy: no finding on any node"
here=$(vm_node vm1)
plant "$here"
all_are_found "$here"
say "$FOUND faults planted, $FOUND found"
mend_all "$here"
doctor "$here" 0
say "mended: no finding"
[[ $(on n1 crm_attribute --node n3 --utilization --name memory --query \
    --quiet) == 4000 ]] || die "quickmigd has changed an administrator's value"
vm_same_boot vm1
libvirt_is_away
cluster_is_away
say "ok: $FOUND faults"
