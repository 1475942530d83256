#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 400
#
# quickmig drain: a node with five VMs is emptied without one reboot, and only
# then called safe; one whose VM cannot be moved is not put into standby.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
VMS='d1 d2 d3 d4 d5'

standby_of() { # NODE
    on n1 crm_attribute --type nodes --node "$1" --name standby --query \
        --quiet --default off 2>/dev/null
}

cluster_up 3
for node in n1 n2 n3; do
    on $node quickmigd
done
i=0
for vm in $VMS; do
    i=$((i + 1))
    VAULT_SIZE=256M vm_create "$vm" lun mode=quick -- --ip 10.77.0.11$i \
        --memory 96 --fill 8
    on n1 crm configure location "at-$vm" "$vm" 50: n2
done
for vm in $VMS; do
    on n1 crm resource start "$vm"
done
cluster_idle 180
for vm in $VMS; do
    guest_wait_ticks "$vm" 5 60 || die "$vm does not tick"
    [[ $(vm_node "$vm") == n2 ]] || die "$vm is on $(vm_node "$vm")"
    vm_remember "$vm"
done

say "--- a VM that cannot be moved"
on n1 crm configure location only-d1 d1 rule -inf: '#uname' ne n2
code=0
on n1 quickmig drain n2 --yes --parallel 1 >"$QM_LAB_DIR/out" 2>&1 || code=$?
cat "$QM_LAB_DIR/out"
[[ $code -eq 4 ]] || die "exit code $code instead of 4"
[[ $(standby_of n2) == off ]] || die "n2 is in standby"
[[ $(vm_node d1) == n2 ]] || die "d1 left n2"
on n1 crm --force configure delete only-d1
cluster_idle

say "--- drain"
on n3 quickmig drain n2 --yes | tee "$QM_LAB_DIR/out" || die "drain"
grep -q 'safe to switch it off' "$QM_LAB_DIR/out" || die "it does not say so"
[[ $(standby_of n2) == on ]] || die "n2 is not in standby"
for vm in $VMS; do
    [[ $(vm_node "$vm") =~ ^n[13]$ ]] || die "$vm is on '$(vm_node "$vm")'"
    vm_same_boot "$vm"
done
left=$(on n2 virsh -q list --name) || die "virsh"
[[ -z $left ]] || die "a domain is left on n2: $left"
left=$(on n1 cibadmin --query --local --scope constraints) || die "cibadmin"
[[ $left != *'id="cli-'* ]] || die "a constraint is left"

say "--- undrain"
on n1 quickmig undrain n2
[[ $(standby_of n2) == off ]] || die "n2 is still in standby"
cluster_idle
code=0
on n1 quickmig drain nowhere --yes || code=$?
[[ $code -eq 3 ]] || die "a node that is not there: exit code $code"
say "ok"
