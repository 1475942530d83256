#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 300
#
# quickmig protect and unprotect: a VM that runs under plain libvirt becomes
# the cluster's, moves, and becomes libvirt's again; at no time are there two
# copies.  A dry run changes nothing; the commands that it prints, applied to
# an empty CIB, give the same configuration.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

LUN_TOOL=$QM_BUILD/tests/functional/lun-tool

# ends NODE CODE COMMAND...: OUT and ERR are what it printed.
ends() {
    local node=$1 want=$2 code=0
    shift 2
    OUT=$(on "$node" "$@" 2>"$QM_LAB_DIR/err") || code=$?
    ERR=$(<"$QM_LAB_DIR/err")
    [[ $code -eq $want ]] ||
        die "$* on $node ended with $code, not $want: $OUT $ERR"
}

says() {
    grep -q -- "$1" <<<"$OUT $ERR" || die "expected \"$1\": $OUT $ERR"
}

# What must stay as it is in a dry run or a refusal.
everything() {
    on n1 cibadmin --query --scope configuration
    cksum <"$(lab lun path vm1-vault)"
    on n1 virsh -q list --all
}

unchanged() { # WHAT COMMAND...
    local what=$1 before
    shift
    before=$(everything)
    "$@"
    diff <(echo "$before") <(everything) || die "$what has changed something"
}

free() {
    on n1 "$LUN_TOOL" "$(lab lun url "$1")" 0 state |
        grep -q '^holder=0000000000000000 .* keys=0:'
}

vm1_is_libvirts() { # NODE
    [[ $(vm_copies vm1) == 1 ]] || die "$(vm_copies vm1) copies of vm1"
    grep -qx vm1 <<<"$(on "$1" virsh -q list --name --persistent)" ||
        die "vm1 is not libvirt's on $1"
    guest_wait_ticks vm1 5 60 || die "vm1 does not tick"
}

# The configuration without its ids.
normal() {
    python3 "$QM_SRC/tests/cluster/cib-normal.py" "$@"
}

# The commands, run by crmsh and pcs themselves on an empty CIB.
same_from_commands() {
    local tool
    on n1 cibadmin --query >"$QM_LAB_DIR/live.xml"
    normal "$QM_LAB_DIR/live.xml" vm1 >"$QM_LAB_DIR/live.txt"
    [[ $(wc -l <"$QM_LAB_DIR/live.txt") -ge 20 ]] || die "too little: $(
        cat "$QM_LAB_DIR/live.txt")"
    for tool in crm pcs; do
        jq -r ".$tool" <<<"$PLAN" >"$QM_LAB_DIR/$tool.sh"
        [[ $tool == crm ]] ||
            sed -i "s,^pcs ,pcs -f $QM_LAB_DIR/pcs.xml ," "$QM_LAB_DIR/pcs.sh"
        cibadmin --empty >"$QM_LAB_DIR/$tool.xml"
        on n1 env CIB_file="$QM_LAB_DIR/$tool.xml" cibadmin --create \
            -o resources -X '<primitive id="f" class="stonith" type="fence_lab"/>'
        on n1 env CIB_file="$QM_LAB_DIR/$tool.xml" sh -e "$QM_LAB_DIR/$tool.sh" \
            >"$QM_LAB_DIR/$tool.out" 2>&1 ||
            die "$tool: $(cat "$QM_LAB_DIR/$tool.out")"
        normal "$QM_LAB_DIR/$tool.xml" vm1 >"$QM_LAB_DIR/$tool.txt"
        diff "$QM_LAB_DIR/live.txt" "$QM_LAB_DIR/$tool.txt" ||
            die "$tool makes something else than protect"
        say "the printed $tool commands give the same configuration"
    done
}

plain_libvirt() {
    lab vm-xml vm1 --disk-url "$(lab lun create vm1-disk 64M)" \
        --ip 10.77.0.101 >"$QM_LAB_DIR/vm1.xml"
    VAULT=$(lab lun create vm1-vault 512M)
    VM_VAULT[vm1]=$VAULT
    on n1 virsh -q define "$QM_LAB_DIR/vm1.xml" >/dev/null
    on n1 virsh -q start vm1 >/dev/null || die "virsh start"
    guest_wait_ticks vm1 5 60 || die "vm1 does not tick"
    truncate -s 64M "$QM_LAB_DIR/local.img"
    lab vm-xml vm2 --disk-file "$QM_LAB_DIR/local.img" >"$QM_LAB_DIR/vm2.xml"
}

refusals_and_dry_run() {
    ends n1 0 quickmig discover --json
    jq -e '.hypervisors[0].vms[0] | .name == "vm1" and .protected == false and
        .running and .disks[0].gated' <<<"$OUT" >/dev/null || die "$OUT"
    ends n1 0 quickmig protect vm1 --vault "$VAULT" --dry-run --restart --json
    PLAN=$OUT
    ends n1 0 quickmig protect vm1 --vault "$VAULT" --dry-run
    says "crm configure primitive vm1"
    says "timeouts for 100 MB/s (nothing is measured yet)"
    ends n1 4 quickmig protect vm1 --vault "$VAULT"
    says "started anew once"
    ends n1 3 quickmig protect nobody --vault "$VAULT"
    ends n1 2 quickmig protect vm1
    ends n1 4 quickmig protect vm2 --xml "$QM_LAB_DIR/vm2.xml" --vault "$VAULT"
    says "this host's own file system"
    ends n2 3 quickmig unprotect vm1
}

# Another host's libvirt runs it, which this one cannot see: Pacemaker looks
# on every node before it may act.
it_runs_elsewhere() {
    vm_remember vm1
    ends n2 4 quickmig protect vm1 --xml "$QM_LAB_DIR/vm1.xml" --vault "$VAULT"
    says "it may run on n1 already"
    cluster_idle
    [[ $(vm_copies vm1) == 1 ]] || die "$(vm_copies vm1) copies of vm1"
    vm_same_boot vm1
    on n1 virsh -q shutdown vm1 >/dev/null
    lab_wait_until 60 off_on n1 || die "vm1 does not shut down"
    on n1 crm_resource --cleanup --resource vm1 >/dev/null 2>&1
    cluster_idle
    on n1 crm --force configure delete vm1 >/dev/null 2>&1 || die "delete"
    on n1 crm --force configure delete quickmigd-clone >/dev/null 2>&1 || :
    on n1 crm --force configure delete quickmigd >/dev/null 2>&1 || :
    cluster_idle
    on n1 virsh -q start vm1 >/dev/null || die "virsh start"
    guest_wait_boot vm1 "${VM_BOOT[vm1]}" 60 || die "vm1 does not boot"
    say "it ran on another host: refused, and left alone"
}

protect_it() {
    local old
    old=$(guest_boot_id vm1)
    ends n1 0 quickmig protect vm1 --vault "$VAULT" --restart
    says "vm1 is protected; it runs on n"
    say "$(tail -1 <<<"$OUT")"
    guest_wait_boot vm1 "$old" 60 || die "not booted"
    [[ $(vm_copies vm1) == 1 ]] || die "$(vm_copies vm1) copies of vm1"
    OUT=$(on n1 virsh -q list --name --all --persistent) || die "virsh"
    ! grep -qx vm1 <<<"$OUT" ||
        die "libvirt of n1 still has a definition"
    cluster_idle
}

is_well() {
    local here
    here=$(vm_node vm1)
    lab_wait_until 30 capacity_known || die "no capacity of n3"
    ends "$here" 0 quickmig doctor --json
    jq -e '.findings | all(.severity == "info")' <<<"$OUT" >/dev/null ||
        die "the doctor says: $OUT"
    ends "$here" 0 quickmig discover --json
    jq -e '.hypervisors[0].vms[0] | .protected and .resource == "vm1"' \
        <<<"$OUT" >/dev/null || die "discover: $OUT"
    ends n1 4 quickmig protect vm1 --xml "$QM_LAB_DIR/vm1.xml" --vault "$VAULT"
    says "it is protected"
}

capacity_known() {
    on n1 crm_attribute --node n3 --utilization --name memory --query
}

it_moves() {
    local there=n2
    [[ $(vm_node vm1) != n2 ]] || there=n3
    vm_remember vm1
    vm_move vm1 "$there"
    vm_same_boot vm1
    say "moved to $there"
}

memory_of() { # NODE MIB
    on n1 crm_attribute --node "$1" --utilization --name memory --update "$2"
}

# Who has room; and Pacemaker goes by it, if it is told to.
has_room() {
    local here small free
    here=$(vm_node vm1)
    read -r small free < <(echo "$NODES" | xargs -n 1 | grep -vx "$here" | xargs)
    ends n1 0 quickmig capacity --json
    jq -e --arg h "$here" '.nodes | length == 3 and all(.memory > 1e9 and
        .cpus >= 4) and any(.name == $h and .memory_used == 160 * 1048576 and
        .cpus_used == 1)' <<<"$OUT" >/dev/null || die "capacity: $OUT"
    memory_of "$small" 100
    memory_of "$free" 100
    ends n1 5 quickmig capacity
    says "^$here .* no room for vm1"
    memory_of "$free" 160
    ends n1 0 quickmig capacity
    on n1 crm_attribute -t crm_config -n placement-strategy -v balanced
    vm_remember vm1
    on n1 crm_standby -N "$here" -v on
    vm_wait_node vm1 "$free"
    vm_same_boot vm1
    on n1 crm_standby -N "$here" -v off
    on n1 crm_attribute -t crm_config -n placement-strategy -D
    cluster_idle
    say "placement-strategy: to $free, which has room, not to $small"
}

unprotect_refusals() {
    local here=$1 other=n1
    [[ $here != n1 ]] || other=n2
    ends "$other" 4 quickmig unprotect vm1 --restart
    says "run quickmig unprotect there"
    ends "$here" 4 quickmig unprotect vm1
    says "started anew once"
    ends "$here" 0 quickmig unprotect vm1 --restart --dry-run
    says "would be shut down"
}

# Pacemaker begins nothing new for some seconds: what is changed meanwhile it
# sees all at once.
keep_cluster_busy() {
    on n1 crm configure primitive busy ocf:pacemaker:Dummy op_sleep=8 \
        op start timeout=60s interval=0 op stop timeout=60s interval=0 \
        op monitor timeout=60s interval=60s
    lab_wait_until 30 is_busy || die "Pacemaker has nothing to do"
}

is_busy() {
    ! dc_idle
}

unprotect_it() {
    local here old
    here=$(vm_node vm1)
    old=$(guest_boot_id vm1)
    unchanged "a refusal" unprotect_refusals "$here"
    on n1 crm configure location mine vm1 5: "$here"
    ends "$here" 4 quickmig unprotect vm1 --restart
    says "somebody else has written: mine"
    on n1 crm configure delete mine
    keep_cluster_busy
    ends "$here" 0 quickmig unprotect vm1 --restart
    say "$(head -1 <<<"$(grep libvirt <<<"$OUT")")"
    guest_wait_boot vm1 "$old" 60 || die "not booted"
    vm1_is_libvirts "$here"
    OUT=$(on n1 cibadmin --query) || die "cibadmin"
    ! grep -q vm1-instance_attributes <<<"$OUT" ||
        die "the CIB still has vm1"
    free vm1-disk || die "the disk is still reserved"
    free vm1-vault || die "the vault is still reserved"
    vm_disk_ok vm1
    THERE=$here
}

# With the vault that it had: its generation goes on.
protect_again() {
    local generation
    generation=$(on n1 quickmig vault show "$VAULT" --json | jq .generation)
    on "$THERE" virsh -q shutdown vm1 >/dev/null
    lab_wait_until 60 off_on "$THERE" || die "vm1 does not shut down"
    ends "$THERE" 0 quickmig protect vm1 --vault "$VAULT" --stopped
    says "it is stopped"
    [[ $(vm_copies vm1) == 0 ]] || die "it was started"
    ends "$THERE" 0 quickmig unprotect vm1
    [[ $(on "$THERE" virsh -q domstate vm1) == "shut off" ]] || die "it runs"
    ends "$THERE" 0 quickmig protect vm1 --vault "$VAULT" --json
    jq -e '.vault_there and .node != null' <<<"$OUT" >/dev/null || die "$OUT"
    [[ $(vm_record vm1 generation) -gt $generation ]] ||
        die "the generation began anew"
    on n1 crm resource stop vm1
    cluster_idle
    ends "$THERE" 4 quickmig unprotect vm1
    says "is in its vault"
}

off_on() {
    [[ $(on "$1" virsh -q domstate vm1) == "shut off" ]]
}

cluster_up 3
plain_libvirt
unchanged "a dry run or a refusal" refusals_and_dry_run
it_runs_elsewhere
protect_it
same_from_commands
is_well
it_moves
has_room
unprotect_it
protect_again
say "ok"
