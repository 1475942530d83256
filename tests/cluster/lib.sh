# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# For cluster tests and the demo, sourced: a real cluster in the lab with the
# installed quickmig, and VMs on it.
#
#   cluster_up [NODES]             a lab of our own; torn down at exit
#   node_daemons_up                quickmigd on every node, as a clone
#   daemon_runs NODE               quickmigd, there
#   vm_create NAME lun|dir|file [PARAM=VALUE...] -- [vm-xml OPTION...]
#                                  disk, vault, resource; not started.  lun:
#                                  both LUNs; dir: the vault is a directory;
#                                  file: the disk is a file, too
#   vm_start NAME                  enables it and waits for ticks
#   vm_node NAME                   where Pacemaker says it runs
#   vm_wait_node NAME NODE [S]     runs there, cluster settled
#   vm_move NAME NODE [S]          crm resource move, waits, clears
#   vm_record NAME FIELD           of "quickmig status --json"
#   vm_remember NAME / vm_same_boot NAME / vm_other_boot NAME
#                                  boot id before; memory and disk after
#   vm_disk_ok NAME [MIN_SEQ]      disk log unbroken
#   vm_copies NAME / vm_is_gone NAME
#                                  on how many nodes it has a QEMU / on none
#   old_nexus_refused NODE NAME    the target refuses NODE's writes to the disk
#   cluster_idle [S]               no transition, no pending action
#   on NODE COMMAND...             lab exec
#   agent NODE NAME ACTION [VAR=VALUE...]   by hand, as Pacemaker would

QM_SRC=${QM_SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
QM_BUILD=${QM_BUILD:-$QM_SRC/build}
QM_DEST=${QM_DEST:-$QM_BUILD/dest}
AGENT=/usr/lib/ocf/resource.d/quickmig/VirtualMachine
SHARED=/srv/quickmig
LAB_UP_OPTIONS=()
declare -A VM_BOOT VM_VAULT VM_SEQ

# shellcheck source=tests/lab/lib.sh
. "$QM_SRC/tests/lab/lib.sh"

say() {
    printf '%s %s\n' "$(date +%H:%M:%S.%3N)" "$*"
}

die() {
    say "FAIL: $*" >&2
    exit 1
}

on() {
    lab exec "$@"
}

# A node that is up, to ask the cluster from.
any_node() {
    local n
    for n in $NODES; do
        if on "$n" crm_mon -1 >/dev/null 2>&1; then
            echo "$n"
            return
        fi
    done
    die "no node answers"
}

_anywhere() { # COMMAND...
    local n
    for n in $NODES; do
        ! on "$n" "$@" || return 0
    done
    return 1
}

# Asks the cluster for something, from a node that lives to the end of it: one
# that answers may be fenced in the next moment.
ask_cluster() { # COMMAND...
    lab_wait_until 30 _anywhere "$@" || die "$*"
}

cluster_down() {
    local code=$?
    trap - EXIT
    if [[ $code -ne 0 && -n ${QM_LAB_DIR:-} ]]; then
        cluster_diagnose || true
    fi
    if [[ -n ${QM_LAB_KEEP:-} ]]; then
        say "lab kept: $QM_LAB_DIR"
    else
        lab down --purge >/dev/null 2>&1 || say "lab down failed"
    fi
    exit "$code"
}

cluster_diagnose() {
    local f
    {
        echo "--- cluster"
        on "$(any_node)" crm_mon -1rf
        for f in "$QM_LAB_DIR"/nodes/*/log/quickmig/quickmig.log; do
            echo "--- $f"
            tail -n 60 "$f"
        done
        for f in "$QM_LAB_DIR"/console/*.log; do
            echo "--- $f"
            tail -n 5 "$f"
        done
    } 2>&1 | cut -c1-400
}

cluster_up() {
    local n=${1:-3} i
    [[ -d $QM_DEST ]] || make -C "$QM_BUILD" -s install DESTDIR="$QM_DEST" \
        >/dev/null || die "not built: $QM_BUILD"
    NODES=
    for ((i = 1; i <= n; i++)); do NODES+=" n$i"; done
    lab_new
    trap cluster_down EXIT
    trap 'exit 130' INT TERM
    lab up --nodes "$n" --overlay "$QM_DEST" "${LAB_UP_OPTIONS[@]}"
    # A VM stays where it is when the constraint of its move goes.
    on n1 crm configure rsc_defaults resource-stickiness=100
    say "cluster of $n nodes is up: $QM_LAB_DIR"
}

# The coordinator says so by itself, the others that they are not it.  crmadmin
# spins when its node dies.
dc_idle() {
    local node state
    for node in ${DC_LAST:-} $NODES; do
        state=$(on "$node" timeout 5 crmadmin -qS "$node" 2>/dev/null) || state=
        case $state in
        '' | S_NOT_DC) ;;
        S_IDLE) DC_LAST=$node
            return 0 ;;
        *) return 1 ;;
        esac
    done
    return 1
}

# For what Pacemaker does: each look costs it, and the processors are few.
wait_for_cluster() { # SECONDS COMMAND...
    LAB_POLL=0.15 lab_wait_until "$@"
}

# Nothing left to do for Pacemaker.  crm_resource --wait knows it for certain,
# but looks only every two seconds; the node that is asked may die meanwhile.
cluster_idle() { # [SECONDS]
    local end=$((SECONDS + ${1:-90}))
    until wait_for_cluster $((end - SECONDS)) dc_idle &&
        on "$(any_node)" crm_resource --wait --timeout=$((end - SECONDS)); do
        [[ $SECONDS -lt $end ]] || die "the cluster does not come to rest"
        sleep 0.1
    done
}

# As the examples have it: VMs start after it where it starts, and it stops
# after them, but its failures do not touch them.
node_daemons_up() {
    on n1 crm configure primitive node ocf:quickmig:Node \
        op start timeout=20s interval=0 op stop timeout=20s interval=0 \
        op monitor timeout=20s interval="${NODE_INTERVAL:-15s}" ||
        die "crm configure node"
    on n1 crm configure clone node-clone node meta interleave=true ||
        die "crm configure node-clone"
    cluster_idle
}

daemon_runs() { # NODE
    on "$1" pgrep -x quickmigd >/dev/null
}

# A LUN; with CHAP=USER:SECRET it wants that, and every node's libvirt has it.
vm_lun() { # NAME SIZE
    local url
    url=$(lab lun create "$1" "$2" ${CHAP:+--chap "$CHAP"}) || return 1
    if [[ -n ${CHAP:-} ]]; then
        url="iscsi://${CHAP%%:*}@${url#iscsi://}?secret=$(lab lun secret "$1")"
    fi
    echo "$url"
}

vm_vault_create() {
    local name=$1 kind=$2
    if [[ $kind != lun ]]; then
        VM_VAULT[$name]=$SHARED/$name
        on n1 mkdir -p "$SHARED/$name"
    else
        VM_VAULT[$name]=$(vm_lun "$name-vault" "${VAULT_SIZE:-512M}")
    fi
    on n1 quickmig vault create "${VM_VAULT[$name]}" \
        --xml "$QM_LAB_DIR/$name.xml" >"$QM_LAB_DIR/$name.create" ||
        die "vault create failed"
}

# The disk, as an option of vm-xml.
vm_disk_create() {
    if [[ $2 == file ]]; then
        install -m 666 /dev/null "$QM_LAB_DIR/shared/$1.img"
        truncate -s "${DISK_SIZE:-64M}" "$QM_LAB_DIR/shared/$1.img"
        echo "--disk-file $SHARED/$1.img"
    else
        vm_lun "$1-disk" "${DISK_SIZE:-64M}" >/dev/null
        echo "--disk-url $(lab lun url "$1-disk")"
    fi
}

vm_disk_path() {
    if [[ -e $QM_LAB_DIR/shared/$1.img ]]; then
        echo "$QM_LAB_DIR/shared/$1.img"
    else
        lab lun path "$1-disk"
    fi
}

vm_create() {
    local name=$1 kind=$2 params=() disk
    shift 2
    while [[ $# -gt 0 && $1 != -- ]]; do
        params+=("$1")
        shift
    done
    shift || true
    read -ra disk <<<"$(vm_disk_create "$name" "$kind")"
    lab vm-xml "$name" "${disk[@]}" "$@" >"$QM_LAB_DIR/$name.xml"
    vm_vault_create "$name" "$kind"
    on n1 crm configure primitive "$name" ocf:quickmig:VirtualMachine \
        params vault="${VM_VAULT[$name]}" "${params[@]}" \
        op start timeout=180s interval=0 \
        op stop timeout="${STOP_TIMEOUT:-300s}" interval=0 \
        op monitor timeout=30s interval="${MONITOR_INTERVAL:-10s}" \
        op migrate_to timeout=300s interval=0 \
        op migrate_from timeout=180s interval=0 \
        meta allow-migrate=true target-role=Stopped ||
        die "crm configure failed"
}

vm_start() {
    ask_cluster crm_resource -r "$1" --meta -p target-role -v Started
    cluster_idle
    guest_wait_ticks "$1" 5 60 || die "guest $1 does not tick"
}

# "n2"; empty: nowhere.  More than one node is a failure of everything.
vm_node() {
    local where
    where=$(_anywhere crm_resource -r "$1" --locate 2>/dev/null) ||
        die "no node knows of $1"
    where=$(sed -n 's/.*is running on: *\([^ ]*\).*/\1/p' <<<"$where")
    [[ $(wc -w <<<"$where") -le 1 ]] || die "$1 runs on: $where"
    echo "$where"
}

_vm_is_on() {
    [[ $(vm_node "$1") == "$2" ]]
}

vm_wait_node() {
    wait_for_cluster "${3:-90}" _vm_is_on "$1" "$2" || die "$1 is not on $2"
    cluster_idle "${3:-90}"
}

vm_move() {
    ask_cluster crm_resource --move -r "$1" -N "$2" --force
    vm_wait_node "$1" "$2" "${3:-90}"
    ask_cluster crm_resource --clear -r "$1"
    cluster_idle
}

vm_record() {
    on "$(any_node)" quickmig status --json "$1" | jq -r ".vms[0].$2"
}

# How many nodes have a QEMU with the VM's name?  (Not through a pipe: virsh
# would be told that grep has seen enough.)
vm_copies() {
    local n copies=0
    for n in $NODES; do
        if grep -qx "$1" <<<"$(on "$n" virsh -q list --name 2>/dev/null)"; then
            copies=$((copies + 1))
        fi
    done
    echo "$copies"
}

vm_is_gone() {
    [[ $(vm_copies "$1") == 0 ]]
}

vm_remember() {
    VM_BOOT[$1]=$(guest_boot_id "$1")
    VM_SEQ[$1]=$(guest_synced "$1")
    [[ -n ${VM_BOOT[$1]} ]] || die "$1 has not booted"
}

vm_disk_ok() {
    disk_log_check "$(vm_disk_path "$1")" --min-seq "${2:-1}" \
        >/dev/null || die "disk log of $1 is broken"
}

vm_same_boot() {
    guest_wait_ticks "$1" 3 60 || die "guest $1 is silent"
    [[ $(guest_boot_id "$1") == "${VM_BOOT[$1]}" ]] || die "$1 was rebooted"
    guest_wait_full_check "$1" 90 || die "memory of $1 is damaged"
    vm_disk_ok "$1" "${VM_SEQ[$1]}"
    [[ $(vm_copies "$1") == 1 ]] || die "$(vm_copies "$1") copies of $1"
}

vm_other_boot() {
    guest_wait_boot "$1" "${VM_BOOT[$1]}" 90 || die "$1 was not booted anew"
    vm_disk_ok "$1" "${VM_SEQ[$1]}"
    [[ $(vm_copies "$1") == 1 ]] || die "$(vm_copies "$1") copies of $1"
}

# The target knows a node by its initiator name.  Reading is allowed to
# anybody, which shows that the disk is there.
old_nexus_refused() {
    local url image
    url=$(lab lun url "$2-disk")
    url=${url#iscsi://}
    image="driver=iscsi,transport=tcp,lun=1,portal=${url%%/*}"
    image+=",target=$(cut -d/ -f2 <<<"$url")"
    image+=",initiator-name=iqn.2026-11.org.quickmig.lab:$1"
    lab exec sw qemu-io --image-opts "$image" -c 'read 60M 4k' \
        >/dev/null 2>&1 || die "the disk of $2 cannot be read"
    ! lab exec sw qemu-io --image-opts "$image" -c 'write -P 0xee 60M 4k' \
        >/dev/null 2>&1
}

agent() {
    local node=$1 name=$2 action=$3
    shift 3
    on "$node" env OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE="$name" \
        OCF_RESKEY_vault="${VM_VAULT[$name]}" \
        OCF_RESKEY_CRM_meta_timeout=60000 "$@" "$AGENT" "$action"
}
