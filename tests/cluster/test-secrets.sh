#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 420
#
# A VM whose LUNs want CHAP and whose saved state is encrypted: moved quick and
# live, stopped and started.  No secret shows in any process's arguments or
# environment, in a log, below /run, in the CIB or on the storage, at any time;
# a node without the secret, or with another one, neither saves nor restores,
# and the VM stays what it is.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
CHAP=joe:chap-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
KEY=key-$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
OTHER=other-$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
CANARY=canary-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
SECRET=5ca1ab1e-0000-4000-8000-00000000beef

# Never in an argument: printf is the shell's own.
set_secret() { # NODE VALUE
    on "$1" virsh -q secret-define /dev/stdin >/dev/null <<XML
<secret ephemeral='no' private='no'><uuid>$SECRET</uuid></secret>
XML
    printf %s "$2" | on "$1" virsh -q secret-set-value "$SECRET" \
        --file /dev/stdin --plain >/dev/null
}

logs() {
    cat "$QM_LAB_DIR"/nodes/*/log/quickmig/quickmig.log
}

# Does the vault hold the beginning of a state that libvirt would take?
in_the_clear() {
    grep -qaF 'LibvirtQemud' "$(lab lun path vm1-vault)"
}

watch_begin() {
    local line
    (umask 077 && printf '%s\n' "$CANARY" "${CHAP#*:}" "$KEY" "$OTHER" \
        "$(printf %s "${CHAP#*:}" | base64)" "$(printf %s "$KEY" | base64 -w0)" \
        >"$QM_LAB_DIR/needles")
    "$QM_SRC/tests/lab/secret-watch" "$QM_LAB_DIR/needles" \
        >"$QM_LAB_DIR/seen" &
    WATCH=$!
    # It does see what is there.
    CANARY=$CANARY sleep 30 &
    line="1 environ $!"
    lab_wait_until 10 grep -q "^$line" "$QM_LAB_DIR/seen" || die "blind watch"
    kill $!
}

watch_end() {
    local n path cib
    kill -TERM "$WATCH"
    wait "$WATCH" || true
    say "watched: $(grep rounds "$QM_LAB_DIR/seen")"
    echo "shown: secrets: all processes looked at $(sed -n 's/^rounds //p' \
        "$QM_LAB_DIR/seen") times during moves with CHAP and encryption"
    ! grep -v -e ^1 -e rounds "$QM_LAB_DIR/seen" || die "a secret was seen"
    sed 1d "$QM_LAB_DIR/needles" >"$QM_LAB_DIR/secrets"
    for n in $NODES; do
        # The lab's own files are below /dev/shm, where TMPDIR says so.
        ! on "$n" grep -rlaF -D skip -f "$QM_LAB_DIR/secrets" \
            --exclude-dir="${QM_LAB_DIR##*/}" /run /var/log \
            /var/lib/pacemaker /var/lib/libvirt /dev/shm 2>/dev/null ||
            die "a secret is in a file of $n"
    done
    for path in "$QM_LAB_DIR"/luns/*.img; do
        ! grep -qaF -f "$QM_LAB_DIR/secrets" "$path" || die "it is on $path"
    done
    cib=$(on n1 cibadmin --query) || die "cibadmin"
    ! grep -F -f "$QM_LAB_DIR/secrets" <<<"$cib" || die "CIB"
}

move_both_ways() {
    say "quick, in the clear: what the test looks for is there"
    vm_remember vm1
    vm_move vm1 n2
    vm_same_boot vm1
    in_the_clear || die "nothing to be found: the test would prove nothing"
    say "quick, encrypted"
    on n1 crm_resource -r vm1 --set-parameter image_secret -v "$SECRET" \
        >/dev/null || die "set image_secret"
    cluster_idle
    vm_same_boot vm1 # reloaded, not restarted
    vm_move vm1 n1
    vm_same_boot vm1
    ! in_the_clear || die "the saved state is in the clear"
    say "live, encrypted"
    on n1 crm_resource -r vm1 --set-parameter mode -v live >/dev/null
    cluster_idle
    vm_move vm1 n2
    vm_same_boot vm1
    ! in_the_clear || die "the saved state is in the clear"
    [[ $(logs | grep -c 'mode: live') -ge 1 ]] || die "not live"
    logs | grep 'resume: guest runs' | sed 's/^/  /'
}

# The target refuses before anything happens; the guest does not notice.
refused_by_target() {
    say "to a node without the secret"
    vm_remember vm1
    on n1 crm_resource --move -r vm1 -N n3 >/dev/null 2>&1 || die "--move"
    lab_wait_until 60 grep -q 'image_secret: secret' \
        "$QM_LAB_DIR/nodes/n3/log/quickmig/quickmig.log" || die "not refused"
    cluster_idle
    on n1 crm_resource --clear -r vm1 >/dev/null 2>&1 || true
    cluster_idle
    vm_same_boot vm1
    [[ $(vm_node vm1) != n3 ]] || die "it is on n3"
}

doctor_knows() {
    local found='.findings | any(.check == "image-secrets")'
    on n1 quickmig doctor --json >"$QM_LAB_DIR/out" 2>/dev/null || true
    jq -e "$found | not" "$QM_LAB_DIR/out" >/dev/null || die "$(cat "$QM_LAB_DIR/out")"
    on n3 quickmig doctor --json >"$QM_LAB_DIR/out" 2>/dev/null || true
    jq -e "$found" "$QM_LAB_DIR/out" >/dev/null || die "$(cat "$QM_LAB_DIR/out")"
}

# By hand, as Pacemaker would: the VM stays saved.
start_fails() { # NODE WORDS [VAR=VALUE]
    local code=0
    agent "$1" vm1 start "${@:3}" 2>"$QM_LAB_DIR/out" || code=$?
    [[ $code -eq 1 ]] || die "start on $1: exit code $code instead of 1"
    grep -q "$2" "$QM_LAB_DIR/out" || die "not told: $(cat "$QM_LAB_DIR/out")"
    [[ $(vm_record vm1 state) == SAVED ]] || die "$(vm_record vm1 state)"
    say "  $(grep -o 'ocf-exit-reason:.*' "$QM_LAB_DIR/out" | cut -c17-)"
}

wrong_secrets() {
    say "saved; starts with a wrong secret, or none"
    vm_remember vm1
    on n1 crm resource stop vm1 || die "stop"
    cluster_idle
    [[ $(vm_record vm1 state) == SAVED ]] || die "not saved"
    set_secret n1 "$OTHER"
    start_fails n1 'encrypted with another secret' \
        OCF_RESKEY_image_secret=$SECRET
    start_fails n3 'image_secret: secret' OCF_RESKEY_image_secret=$SECRET
    start_fails n1 'no image_secret'
    set_secret n1 tooshort
    start_fails n1 'it needs 32 at least' OCF_RESKEY_image_secret=$SECRET
    set_secret n1 "$KEY"
    on n1 crm resource start vm1 || die "start"
    cluster_idle
    vm_same_boot vm1
    [[ $(vm_copies vm1) == 1 ]] || die "$(vm_copies vm1) copies"
}

# Pacemaker stops an orphan without telling its parameters.
deleted_while_running() {
    say "the resource is deleted while it runs"
    on n1 crm --force configure delete vm1 >/dev/null 2>&1 || die "delete"
    cluster_idle
    lab_wait_until 60 vm_is_gone vm1 || die "it still runs"
    [[ $(on n1 quickmig status --json --vault "${VM_VAULT[vm1]}" |
        jq -r '.vms[0].state') == SAVED ]] || die "not saved"
    ! in_the_clear || die "the saved state is in the clear"
    cat "$QM_LAB_DIR"/nodes/*/log/quickmig/quickmig.log |
        grep -q 'stop: commit' || die "no commit"
}

cluster_up 3
for node in $NODES; do
    on "$node" quickmigd
done
set_secret n1 "$KEY"
set_secret n2 "$KEY"
VAULT_SIZE=512M vm_create vm1 lun mode=quick -- --ip 10.77.0.101 --live-safe \
    --memory 128 --fill 32
vm_start vm1
[[ $(vm_node vm1) == n1 ]] || vm_move vm1 n1
watch_begin
move_both_ways
refused_by_target
doctor_knows
wrong_secrets
deleted_while_running
watch_end
say "ok"
