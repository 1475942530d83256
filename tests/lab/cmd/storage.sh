# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The iSCSI target: tgtd in the switch's namespaces. One target a LUN, LUN
# number 1, backing files luns/NAME.img, properties in luns/NAME.conf, from
# which the target is rebuilt after a restart: same identity, but without
# reservations, as a real tgtd.

PORTAL=10.78.0.254:3260
IQN_PREFIX=iqn.2026-11.org.quickmig.lab

tgt_pid() {
    in_node sw pgrep -x tgtd
}

tgt_gone() {
    ! tgt_pid
}

tgtadm() {
    in_node sw tgtadm --lld iscsi "$@"
}

# tgtd allocates the buffer of each command anew; the C library would map it
# and unmap it, and the kernel clear its pages, each time.
TARGET_MALLOC=glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=268435456

target_start() {
    local preload=${1:-} name sw
    sw=$(need_node sw)
    if tgt_pid >/dev/null; then die "the target is running already"; fi
    in_node sw mkdir -p /run/tgtd
    spawn_logged "$LAB_DIR/sw/tgtd.log" "$LABNS" exec "$sw" \
        setsid -f env GLIBC_TUNABLES="$TARGET_MALLOC" \
        ${preload:+LD_PRELOAD="$preload"} \
        tgtd -f -t 16 --iscsi portal="$PORTAL"
    wait_until 10 "the target, see $LAB_DIR/sw/tgtd.log" \
        tgtadm --op show --mode target || return 1
    for name in $(lun_names); do lun_export "$name"; done
    log "target: started ${preload:+with $preload}"
}

# tgtd ignores SIGTERM. "stop" closes its sessions first, "kill" does not.
target_stop() {
    local name TID
    tgt_pid >/dev/null || return 0
    for name in $(lun_names); do
        lun_load "$name"
        tgtadm --op delete --mode target --tid "$TID" --force || true
    done
    in_node sw tgtadm --op delete --mode system || true
    target_kill
}

target_kill() {
    local pid
    if pid=$(tgt_pid); then
        in_node sw kill -KILL "$pid" || true
        wait_until 10 "end of the target" tgt_gone
    fi
    log "target: stopped"
}

cmd_target() {
    local preload='' what=${1:-} pid
    if [[ ${2:-} == --preload ]]; then
        [[ -e ${3:-} ]] || die_usage "--preload needs a library"
        preload=$(readlink -f "$3")
    fi
    need_node sw >/dev/null
    case $what in
    start) target_start "$preload" ;;
    stop) target_stop ;;
    kill) target_kill ;;
    restart) target_kill
        target_start "$preload" ;;
    pid) tgt_pid ;;
    freeze | thaw)
        pid=$(tgt_pid) || die "the target is not running"
        in_node sw kill "-$([[ $what == freeze ]] && echo STOP || echo CONT)" \
            "$pid"
        log "target: $what" ;;
    *) die_usage "target needs start, stop, kill, restart, freeze, thaw or pid" ;;
    esac
}

lun_names() {
    local file
    for file in "$LAB_DIR"/luns/*.conf; do
        [[ ! -e $file ]] || basename "$file" .conf
    done
}

lun_path() {
    echo "$LAB_DIR/luns/$1.img"
}

lun_iqn() {
    echo "$IQN_PREFIX:$1"
}

lun_url() {
    echo "iscsi://$PORTAL/$(lun_iqn "$1")/1"
}

# Sets TID, BLOCKSIZE, CHAP (USER:SECRET or empty), SCSI_ID.
lun_load() {
    # shellcheck source=/dev/null
    . "$LAB_DIR/luns/$1.conf"
}

need_lun() {
    [[ -n $1 && -e $LAB_DIR/luns/$1.conf ]] || die "no such LUN '$1'"
}

# The defaults of tgtd are 2-3 times slower.
lun_tune() {
    local pair
    for pair in MaxRecvDataSegmentLength=262144 \
        MaxXmitDataSegmentLength=262144 FirstBurstLength=262144 \
        MaxBurstLength=1048576 InitialR2T=No ImmediateData=Yes \
        MaxOutstandingR2T=8; do
        tgtadm --op update --mode target --tid "$1" \
            --name "${pair%=*}" --value "${pair#*=}"
    done
}

lun_export() {
    local name=$1 TID BLOCKSIZE CHAP SCSI_ID
    lun_load "$name"
    tgtadm --op new --mode target --tid "$TID" --targetname "$(lun_iqn "$name")"
    lun_tune "$TID"
    if [[ -n $CHAP ]]; then
        tgtadm --op new --mode account --user "${CHAP%%:*}" \
            --password "${CHAP#*:}" 2>/dev/null || true
        tgtadm --op bind --mode account --tid "$TID" --user "${CHAP%%:*}"
    fi
    tgtadm --op new --mode logicalunit --tid "$TID" --lun 1 \
        --backing-store "$(lun_path "$name")" --blocksize "$BLOCKSIZE"
    tgtadm --op update --mode logicalunit --tid "$TID" --lun 1 \
        --params "scsi_id=$SCSI_ID,scsi_sn=${SCSI_ID: -16}"
    tgtadm --op bind --mode target --tid "$TID" --initiator-address ALL
}

lun_next_tid() {
    local name TID max=0
    for name in $(lun_names); do
        lun_load "$name"
        [[ $TID -le $max ]] || max=$TID
    done
    echo $((max + 1))
}

lun_create() {
    local name=${1:-} size=${2:-} fd TID BLOCKSIZE=512 CHAP='' SCSI_ID var
    [[ $name =~ ^[a-z0-9][a-z0-9.-]*$ ]] ||
        die_usage "lun create: a name of a-z, 0-9, '.', '-', please"
    [[ $size =~ ^[1-9][0-9]*[KMGT]?$ ]] || die_usage "not a size: '$size'"
    [[ ! -e $LAB_DIR/luns/$name.conf ]] || die "there is a LUN $name already"
    SCSI_ID=qm-$(sha1sum <<<"$LAB_ID $name" | cut -c 1-16)
    shift 2
    while [[ $# -gt 0 ]]; do
        case $1 in
        --blocksize | --chap | --scsi-id) [[ $# -ge 2 ]] || die_usage "$1: no value"
            var=${1#--} var=${var^^} var=${var/-/_}
            printf -v "$var" %s "$2"
            shift 2 ;;
        *) die_usage "lun create: unknown option '$1'" ;;
        esac
    done
    [[ $BLOCKSIZE == 512 || $BLOCKSIZE == 4096 ]] || die_usage "--blocksize: 512 or 4096"
    [[ -z $CHAP || $CHAP == ?*:?* ]] || die_usage "--chap USER:SECRET"
    exec {fd}>"$LAB_DIR/luns/lock"
    flock "$fd"
    TID=$(lun_next_tid)
    truncate -s "$size" "$(lun_path "$name")"
    for var in TID BLOCKSIZE CHAP SCSI_ID; do
        printf '%s=%q\n' "$var" "${!var}"
    done >"$LAB_DIR/luns/$name.conf"
    exec {fd}>&-
    if tgt_pid >/dev/null; then lun_export "$name"; fi
    log "lun $name: created, $size"
    lun_url "$name"
}

lun_delete() {
    local TID BLOCKSIZE CHAP SCSI_ID
    need_lun "$1"
    lun_load "$1"
    if tgt_pid >/dev/null; then
        tgtadm --op delete --mode target --tid "$TID" --force
    fi
    rm -f "$LAB_DIR/luns/$1.conf" "$(lun_path "$1")"
    log "lun $1: deleted"
}

lun_list() {
    local name TID BLOCKSIZE CHAP SCSI_ID
    for name in $(lun_names); do
        lun_load "$name"
        printf 'lun %s: %s bytes, block size %s, %s%s\n' "$name" \
            "$(stat -c %s "$(lun_path "$name")")" "$BLOCKSIZE" \
            "$(lun_url "$name")" "${CHAP:+, CHAP}"
    done
}

lun_secret_uuid() {
    stable_uuid secret "$LAB_ID" "$1"
}

# Defines the secret that the <auth> of vm-xml refers to; prints its UUID.
lun_secret() {
    local name=$1 node uuid TID BLOCKSIZE CHAP SCSI_ID
    need_lun "$name"
    lun_load "$name"
    [[ -n $CHAP ]] || die "LUN $name was made without --chap"
    uuid=$(lun_secret_uuid "$name")
    for node in $(node_names); do
        node_pid "$node" >/dev/null || continue
        in_node "$node" virsh -q secret-define /dev/stdin >/dev/null <<XML
<secret ephemeral='no' private='no'><uuid>$uuid</uuid>
<usage type='iscsi'><target>$(lun_iqn "$name")</target></usage></secret>
XML
        printf %s "${CHAP#*:}" | in_node "$node" virsh -q secret-set-value \
            "$uuid" --file /dev/stdin --plain >/dev/null
    done
    echo "$uuid"
}

cmd_lun() {
    local what=${1:-}
    [[ $# -eq 0 ]] || shift
    case $what in
    create) lun_create "$@" ;;
    delete) lun_delete "${1:-}" ;;
    list) lun_list ;;
    secret) lun_secret "${1:-}" ;;
    url | path) need_lun "${1:-}"
        "lun_$what" "$1" ;;
    *) die_usage "lun needs create, delete, list, url, path or secret" ;;
    esac
}
