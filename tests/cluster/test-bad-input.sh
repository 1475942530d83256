#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 600
#
# What can be wrong with a configuration, a vault or a LUN: each gets a clear
# reason, the right exit code, and changes nothing.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

TOOLS=$QM_BUILD/tests/functional
SAN=10.78.0.254:3260
POKE="$TOOLS/vault-poke"

# When which of the stored files was written last.
stored() {
    find "$QM_LAB_DIR/luns" "$QM_LAB_DIR/shared" -type f \
        \( -name '*.img' -o -path '*/shared/*' \) ! -name lock \
        -printf '%p %s %T@\n' | sort
}

# The agent ends with the code, gives the reason, and changes nothing.
refused() { # CODE REASON NAME ACTION [VAR=VALUE...]
    local want=$1 reason=$2 name=$3 action=$4 code=0 out before
    shift 4
    before=$(stored)
    out=$(agent n1 "$name" "$action" "$@" 2>&1) || code=$?
    [[ $code -eq $want ]] || die "$action $*: rc $code, not $want: $out"
    grep -Eiq -- "^ocf-exit-reason:.*($reason)" <<<"$out" ||
        die "$action $*: no word of \"$reason\": $out"
    [[ $(stored) == "$before" ]] || die "$action $*: something was written"
    say "$action: $(sed -n 's/^ocf-exit-reason://p' <<<"$out")"
}

# A start and a probe are refused; the stop that follows is content.
bad_vault() { # CODE REASON URL
    refused "$1" "$2" vm1 start OCF_RESKEY_vault="$3"
    refused "$1" "$2" vm1 monitor OCF_RESKEY_vault="$3"
    refused 1 "$2" vm1 migrate_to OCF_RESKEY_vault="$3" \
        OCF_RESKEY_CRM_meta_migrate_target=n1
    agent n1 vm1 stop OCF_RESKEY_vault="$3" 2>/dev/null ||
        die "stop with $3 fails"
}

runs() {
    agent n1 "$1" monitor >/dev/null 2>&1
}

logged() { # REGEX
    grep -Eq "$1" "$QM_LAB_DIR/nodes/n1/log/quickmig/quickmig.log" ||
        die "no log line: $1"
}

bad_calls() {
    local code out
    say "--- calls"
    for args in "" "start stop"; do
        code=0
        # shellcheck disable=SC2086 # none or two words are meant
        on n1 "$AGENT" $args >/dev/null 2>&1 || code=$?
        [[ $code -eq 2 ]] || die "\"$args\": rc $code, not 2"
    done
    code=0
    out=$(agent n1 vm1 migrate 2>&1) || code=$?
    [[ $code -eq 3 && $out == *'unknown action "migrate"'* ]] ||
        die "unknown action: rc $code: $out"
    refused 6 'unknown parameter "disk"' vm1 start OCF_RESKEY_disk=x
    refused 6 'compress="zip": expected auto none lz4' vm1 start \
        OCF_RESKEY_compress=zip
    refused 6 'restore_attempts="0": expected a number' vm1 validate-all \
        OCF_RESKEY_restore_attempts=0
    refused 6 'a value' vm1 monitor OCF_RESKEY_vault=
    refused 1 'unknown parameter "disk"' vm1 migrate_to OCF_RESKEY_disk=x
    refused 1 'CRM_meta_migrate_target is not set' vm1 migrate_to
}

bad_addresses() {
    local iqn
    say "--- addresses"
    iqn=${VM_VAULT[vm1]#iscsi://*/}
    bad_vault 6 'vault' "iscsi://$SAN/${iqn%/*}"
    bad_vault 1 'refused|connect' "iscsi://10.78.0.254:3999/$iqn"
    bad_vault 1 'target|not found' "iscsi://$SAN/iqn.2026-11.org.example:no/1"
    bad_vault 1 'LUN' "iscsi://$SAN/${iqn%/*}/7"
    bad_vault 1 'No such file' /srv/quickmig/none
    refused 1 'libvirt' vm1 start OCF_RESKEY_hypervisor=qemu+unix:///nowhere
}

define_secret() { # USAGE VALUE
    on n1 virsh -q secret-define /dev/stdin >/dev/null <<XML
<secret ephemeral='no' private='no'><usage type='iscsi'><target>$1</target></usage></secret>
XML
    printf %s "$2" | on n1 virsh -q secret-set-value --interactive \
        "$(on n1 virsh -q secret-list | awk -v u="$1" '$3 == u { print $1 }')" \
        >/dev/null
}

bad_secrets() {
    local url
    say "--- secrets"
    url=$(lab lun create guarded 64M --chap joe:correct-horse-1)
    url=${url/iscsi:\/\//iscsi:\/\/joe@}
    bad_vault 1 'secret' "$url"
    define_secret wrong wrong-secret-12
    bad_vault 1 'CHAP|login|auth' "$url?secret=wrong"
    bad_vault 1 'CHAP|login|auth' "${url/joe@/}"
    ! grep -rq 'wrong-secret-12' "$QM_LAB_DIR/nodes/n1/log" ||
        die "a secret is in a log"
}

bad_vaults() {
    local url img other
    say "--- vaults"
    url=$(lab lun create blank 64M)
    bad_vault 1 'no vault.*quickmig vault create' "$url"

    img=$(lab lun path vm1-vault)
    cp --sparse=always "$img" "$QM_LAB_DIR/vm1-vault.keep"
    "$POKE" "$img" 0 8 4 99
    bad_vault 5 'format version 99.*update' "${VM_VAULT[vm1]}"
    "$POKE" "$img" 0 8 4 1
    "$POKE" "$img" 0 16 8 0x1234
    bad_vault 1 'another VM' "${VM_VAULT[vm1]}"
    cp --sparse=always "$QM_LAB_DIR/vm1-vault.keep" "$img"
    dd if=/dev/urandom of="$img" bs=4096 seek=16 count=2 conv=notrunc \
        status=none
    bad_vault 1 'record.*(damaged|corrupt|wrong|copies)' "${VM_VAULT[vm1]}"
    cp --sparse=always "$QM_LAB_DIR/vm1-vault.keep" "$img"
    "$POKE" "$img" 65536 8 4 2 && "$POKE" "$img" 69632 8 4 2
    bad_vault 5 'format' "${VM_VAULT[vm1]}"
    cp --sparse=always "$QM_LAB_DIR/vm1-vault.keep" "$img"

    other=$QM_LAB_DIR/shared/vm2
    cp "$other"/domain.xml.* "$QM_LAB_DIR/shared/vm3/"
    refused 1 'XML is of another VM' vm3 start
    agent n1 vm3 stop 2>/dev/null || die "stop of vm3"
}

foreign_reservations() {
    local url
    say "--- LUNs of somebody else"
    for lun in vm1-vault vm1-disk; do
        url=$(lab lun url $lun)
        on n1 "$TOOLS/lun-tool" "$url" 77 acquire release foreign 0x1234 5 \
            >/dev/null || die "cannot reserve $lun"
        if [[ $lun == vm1-vault ]]; then
            refused 1 'reserved by|not quickmig' vm1 start
        else
            code=0
            out=$(agent n1 vm1 start 2>&1) || code=$?
            [[ $code -eq 1 ]] || die "start on a reserved disk: rc $code"
            grep -Eq '^ocf-exit-reason:disk vda:.*(reserved|quickmig)' <<<"$out" ||
                die "no reason: $out"
            say "start: $(sed -n 's/^ocf-exit-reason://p' <<<"$out")"
        fi
        agent n1 vm1 stop 2>/dev/null || die "stop with $lun reserved"
        on n1 "$TOOLS/lun-tool" "$url" 78 preempt 0x5678 clear 0x5678 \
            >/dev/null || die "cannot free $lun"
    done
}

read_only_directory() {
    say "--- a directory that cannot be written"
    on n1 mount --bind /srv/quickmig/vm2 /srv/quickmig/vm2
    on n1 mount -o remount,bind,ro /srv/quickmig/vm2
    refused 1 'Read-only file system' vm2 start
    code=0
    agent n1 vm2 monitor 2>/dev/null || code=$?
    [[ $code -eq 7 ]] || die "probe on a read-only directory: rc $code"
    agent n1 vm2 stop 2>/dev/null || die "stop on a read-only directory"
    on n1 umount /srv/quickmig/vm2
}

# A full file system costs the saved state, not the VM.
full_directory() {
    say "--- a full file system"
    on n1 mount -t tmpfs -o size=4M tmpfs /srv/quickmig/vm5
    on n1 quickmig vault create /srv/quickmig/vm5 --force \
        --xml "$QM_LAB_DIR/vm5.xml" >/dev/null 2>&1 || die "vault create"
    on n1 dd if=/dev/zero of=/srv/quickmig/vm5/filler bs=64k status=none \
        2>/dev/null && die "it is not full"
    agent n1 vm5 start 2>/dev/null || die "no start on a full file system"
    guest_wait_ticks vm5 5 60 || die "vm5 does not tick"
    agent n1 vm5 stop 2>/dev/null || die "no stop on a full file system"
    logged 'save: failed:.*No space left'
    logged 'shutting the guest down instead'
    grep -aq '^SHUTDOWN' "$(guest_console vm5)" || die "no clean shutdown"
    agent n1 vm5 start 2>/dev/null || die "no start after a failed save"
    runs vm5 || die "vm5 does not run"
    agent n1 vm5 stop OCF_RESKEY_stop_action=poweroff 2>/dev/null ||
        die "poweroff"
    on n1 umount /srv/quickmig/vm5
}

# The guest writes, so only its vault can be compared.
no_such_target() {
    local code=0 out before
    before=$(stored | grep vm1-vault)
    out=$(agent n1 vm1 migrate_to OCF_RESKEY_CRM_meta_migrate_target=n9 2>&1) ||
        code=$?
    [[ $code -eq 1 && $out == *'no node of this cluster has the name n9'* ]] ||
        die "target n9: rc $code: $out"
    [[ $(stored | grep vm1-vault) == "$before" ]] || die "the vault was written"
    runs vm1 || die "vm1 does not run any more"
}

short_timeout() {
    local out
    say "--- a timeout that is too short"
    agent n1 vm1 start 2>/dev/null || die "start"
    guest_wait_ticks vm1 5 60 || die "vm1 does not tick"
    no_such_target
    agent n1 vm1 stop 2>/dev/null || die "stop"
    out=$(agent n1 vm1 validate-all OCF_CHECK_LEVEL=10 \
        OCF_RESKEY_CRM_meta_timeout=20000 2>&1) || die "validate-all: $out"
    grep -Eq 'at [0-9]+ MB/s \(measured\) .* at least [0-9]+ s for 160 MiB' \
        <<<"$out" || die "no advice: $out"
    say "$out"
}

# The record is lost while the VM runs: its stop ends it all the same.
record_lost_while_running() {
    local img
    say "--- a record that is damaged while the VM runs"
    img=$(lab lun path vm1-vault)
    agent n1 vm1 start 2>/dev/null || die "start"
    dd if=/dev/urandom of="$img" bs=4096 seek=16 count=2 conv=notrunc \
        status=none
    code=0
    agent n1 vm1 monitor OCF_RESKEY_CRM_meta_interval=10000 2>/dev/null ||
        code=$?
    [[ $code -ne 7 ]] || die "it is said not to run"
    agent n1 vm1 stop 2>"$QM_LAB_DIR/out" || die "stop: $(<"$QM_LAB_DIR/out")"
    [[ $(vm_copies vm1) == 0 ]] || die "it still runs"
}

# A resource that cannot work is an error in the status, and no node is fenced
# because its stop fails.
typo_in_the_cluster() {
    local status
    say "--- resources with typos"
    on n1 cibadmin --create -o resources -X '<primitive id="typo"
        class="ocf" provider="quickmig" type="VirtualMachine">
        <instance_attributes id="typo-params">
        <nvpair id="typo-vault" name="vault" value="/srv/quickmig/vm3"/>
        <nvpair id="typo-compress" name="compress" value="zip"/>
        </instance_attributes></primitive>' || die "cibadmin"
    on n1 cibadmin --create -o resources -X '<primitive id="lost"
        class="ocf" provider="quickmig" type="VirtualMachine">
        <instance_attributes id="lost-params">
        <nvpair id="lost-vault" name="vault" value="/srv/quickmig/none"/>
        </instance_attributes></primitive>' || die "cibadmin"
    cluster_idle
    status=$(on n1 crm_mon -1rf)
    grep -q 'typo.*compress="zip": expected auto none lz4' <<<"$status" ||
        die "no reason for typo: $status"
    grep -q 'lost.*No such file' <<<"$status" ||
        die "no reason for lost: $status"
    [[ $(fence_count n1) == 0 ]] || die "n1 was fenced"
    on n1 crm_mon -1 >/dev/null || die "n1 is down"
}

cluster_up 1
# The resource manager does not know them: the agent is called by hand.
vm_create vm1 lun -- --ip 10.77.0.101
for name in vm2 vm3 vm5; do
    vm_create $name dir -- --ip 10.77.0.10${name#vm}
done
for name in vm1 vm2 vm3 vm5; do
    on n1 crm configure delete $name
done
bad_calls
bad_addresses
bad_secrets
bad_vaults
foreign_reservations
read_only_directory
full_directory
short_timeout
record_lost_while_running
typo_in_the_cluster
say "ok"
