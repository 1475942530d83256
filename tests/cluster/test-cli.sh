#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# quickmig on a cluster: status by resource and by VM, with a vault that is
# away; editing a VM that runs here, and one that does not; history; discard.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

WORK=/run/quickmig-test # on the nodes

other_node() {
    [[ $1 == n1 ]] && echo n2 || echo n1
}

# ends NODE CODE COMMAND...: prints what it printed.
ends() {
    local node=$1 want=$2 code=0 out
    shift 2
    out=$(on "$node" "$@" 2>&1) || code=$?
    [[ $code -eq $want ]] || die "$* on $node ended with $code, not $want: $out"
    printf '%s\n' "$out"
}

status_of_everything() {
    local here there out
    here=$(vm_node vm1)
    there=$(other_node "$here")
    out=$(ends "$here" 0 quickmig status)
    grep -qE "^vm1 +vm1 +RUNNING +$here .* vda open " <<<"$out" ||
        die "status on $here: $out"
    out=$(ends "$there" 0 quickmig status --json)
    jq -e ".vms | length == 1 and (.[0] | .vm == \"vm1\" and
        .owner == \"$here\" and .gates[0].state == null)" <<<"$out" \
        >/dev/null || die "status on $there: $out"
    say "status: by resource, by VM name, by address"
    on "$here" crm resource stop vm1
    cluster_idle
    # A resource that is not called like its VM.
    on "$here" crm configure rename vm1 rsc-of-vm1
    on "$here" crm resource start rsc-of-vm1
    cluster_idle
    for what in vm1 rsc-of-vm1 "${VM_VAULT[vm1]}"; do
        ends "$there" 0 quickmig status --json "$what" |
            jq -e '.vms | length == 1 and .[0].vm == "vm1"' >/dev/null ||
            die "status $what"
    done
    ends "$there" 3 quickmig status nobody | grep -q "is called nobody" ||
        die "status of nobody"
}

one_vault_is_away() {
    local out away=iscsi://10.78.0.254/iqn.2026-11.org.quickmig.lab:none/1
    say "status: one vault is away"
    out=$(ends n1 1 quickmig status vm1 "$away")
    grep -qE '^vm1 +rsc-of-vm1 +RUNNING' <<<"$out" || die "status: $out"
    grep -qE '^\? +- +ERROR .* there is no iSCSI target' <<<"$out" ||
        die "status: $out"
    lab target freeze
    out=$(ends n1 1 quickmig status --timeout 2)
    lab target thaw
    grep -qE '^\? +rsc-of-vm1 +ERROR .* in time' <<<"$out" ||
        die "status without an answer: $out"
}

# The XML with another description.
describe() {
    on "$1" mkdir -p $WORK
    on "$1" quickmig vault show vm1 --xml |
        sed "0,/<name>vm1<\/name>/s//<name>vm1<\/name><title>$2<\/title>/" |
        on "$1" tee $WORK/vm1.xml >/dev/null
}

edits() {
    local here there
    here=$(on n1 quickmig status --json vm1 | jq -r '.vms[0].owner')
    there=$(other_node "$here")
    vm_remember vm1
    say "edit: refused on $there, taken on $here"
    describe "$there" there
    ends "$there" 4 quickmig vault edit vm1 --xml $WORK/vm1.xml |
        grep -q "runs on $here" || die "edit on $there"
    describe "$here" here
    ends "$here" 0 quickmig vault edit vm1 --xml $WORK/vm1.xml >/dev/null
    ends "$there" 0 quickmig vault show vm1 --xml | grep '<title>here' >/dev/null ||
        die "the new XML is not there"
    say "edit: not the disks of a VM that runs"
    sed 's,:vm1-disk/1,:other-disk/1,' "$QM_LAB_DIR/vm1.xml" |
        on "$here" tee $WORK/disks.xml >/dev/null
    ends "$here" 4 quickmig vault edit vm1 --xml $WORK/disks.xml |
        grep -q 'disks cannot be changed' || die "edit of disks on $here"
    vm_same_boot vm1
    say "the next cold boot takes it, a restore does not"
    on n1 crm resource stop rsc-of-vm1
    cluster_idle
    ends n1 4 quickmig vault edit vm1 --xml $WORK/vm1.xml |
        grep -q "is SAVED" || die "edit of a saved VM"
    on n1 crm resource start rsc-of-vm1
    cluster_idle
    vm_same_boot vm1
    on n1 crm resource stop rsc-of-vm1
    cluster_idle
    ends n2 0 quickmig discard vm1 --yes >/dev/null
    [[ $(vm_record vm1 state) == OFF ]] || die "not discarded"
    on n1 crm resource start rsc-of-vm1
    cluster_idle
    vm_other_boot vm1
    here=$(vm_record vm1 owner)
    on "$here" virsh dumpxml vm1 | grep '<title>here' >/dev/null ||
        die "it was booted from an old XML"
}

asks_libvirt_for_the_secret() {
    local url uuid
    say "CHAP: the secret is libvirt's"
    url=$(lab lun create chap 512M --chap joe:secret-of-12)
    url=iscsi://joe@${url#iscsi://}
    lab vm-xml vm2 --disk-url "$(lab lun create vm2-disk 64M)" \
        >"$QM_LAB_DIR/vm2.xml"
    ends n1 3 quickmig vault create "$url" --xml "$QM_LAB_DIR/vm2.xml" |
        grep -q "CHAP secret of user joe" || die "without a secret"
    lab lun secret chap >/dev/null
    ends n1 0 quickmig vault create "$url" --xml "$QM_LAB_DIR/vm2.xml" \
        >/dev/null
    ends n2 0 quickmig vault show "$url" --json | jq -e '.vm == "vm2"' \
        >/dev/null || die "vault show with CHAP"
    uuid=$(on n2 virsh -q secret-list | awk '/lab:chap/ { print $1 }')
    on n2 virsh -q secret-set-value "$uuid" --base64 \
        "$(base64 <<<wrong-secret)" >/dev/null 2>&1
    ends n2 1 quickmig vault show "$url" |
        grep -q "check the CHAP user and the secret" || die "wrong secret"
}

has_history() {
    local out
    out=$(ends n1 0 quickmig history vm1 --json)
    jq -e '[.entries[] | .from + ">" + .to] |
        contains(["OFF>RUNNING", "RUNNING>SAVING", "SAVING>SAVED",
            "RESTORING>RUNNING", "SAVED>OFF"])' <<<"$out" >/dev/null ||
        die "history: $out"
    jq -e '[.entries[] | select(.to == "SAVED" and .bytes > 0 and
        .duration_us > 0)] | length > 0' <<<"$out" >/dev/null ||
        die "no figures in the history: $out"
    jq -e '.entries[] | select(.cause == "domain XML changed")' <<<"$out" \
        >/dev/null || die "the edit is not in the history: $out"
    ends n1 0 quickmig history vm1
}

cluster_up 2
vm_create vm1 lun -- --ip 10.77.0.101
vm_start vm1
status_of_everything
one_vault_is_away
edits
has_history
asks_libvirt_for_the_secret
say "ok"
