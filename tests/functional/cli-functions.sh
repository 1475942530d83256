# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# shellcheck shell=bash
#
# For tests of quickmig(8): runs the calling script in network, mount and
# process namespaces of its own, where it can mount file systems and run a
# target, and where everything ends with it.

set -u

: "${QM_BUILD:?the build directory}" "${QM_SRC:?the source directory}"

QUICKMIG=$QM_BUILD/src/cli/quickmig
POKE=$QM_BUILD/tests/functional/vault-poke
INITIATOR=iqn.2026-01.org.example:admin
PORTAL=127.0.0.1:3260
IQN=iqn.2026-01.org.example:storage

die() {
    echo "FAIL: $*" >&2
    exit 1
}

need() {
    local what
    for what in "$@"; do
        command -v "$what" >/dev/null || {
            echo "skipped: $what is missing"
            exit 77
        }
    done
}

# Call first, with the script's own arguments.
isolate() {
    need unshare jq
    [[ $EUID -eq 0 ]] || {
        echo "skipped: needs root"
        exit 77
    }
    [[ -x $QUICKMIG && -x $POKE ]] || die "not built: $QUICKMIG, $POKE"
    if [[ ${QM_CLI_INSIDE:-} != yes ]]; then
        QM_CLI_INSIDE=yes exec unshare --net --mount --pid --uts --ipc --fork \
            --kill-child --propagation private bash "$0" "$@"
    fi
    mount -t proc proc /proc
    ip link set lo up
    mount -t tmpfs tmpfs /run
    mkdir -p /run/lock /run/etc /run/work /run/dir
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work \
        /etc
    mkdir -p /etc/iscsi
    echo "InitiatorName=$INITIATOR" >/etc/iscsi/initiatorname.iscsi
    export TMPDIR=/run/tmp QM_RUN_DIR=/run/quickmig
    mkdir -p "$TMPDIR"
    cd /run || exit 1
}

# expect CODE COMMAND...: OUT and ERR are what it printed.
expect() {
    local want=$1 rc=0
    shift
    "$@" >out 2>err </dev/null || rc=$?
    OUT=$(<out) ERR=$(<err)
    [[ $rc -eq $want ]] ||
        die "$* ended with $rc, not $want; it said: $ERR"
}

# refuse CODE PATTERN COMMAND...: it fails, and says why on one line.
refuse() {
    local pattern=$2
    expect "$1" "${@:3}"
    grep -v '^quickmig: warning: ' err | grep -qE -- "^quickmig: .*$pattern" ||
        die "${*:3}: expected \"$pattern\", it said: $ERR"
    [[ -z $OUT ]] || [[ " $* " == *" --json "* ]] ||
        die "${*:3}: printed on standard output: $OUT"
    echo "ok: ${*:4}: $(tail -1 err)"
}

# json FILTER: true of what the last command printed?
json() {
    jq -e "$1" >/dev/null <out || die "not true: $1 of: $OUT"
}

# says TEXT: the last command printed it.
says() {
    grep -qF -- "$1" out || die "expected \"$1\", it printed: $OUT"
}

# domain_xml NAME UUID MEMORY_MIB [DISK_XML]
domain_xml() {
    cat <<XML
<domain type='qemu'>
  <name>$1</name>
  <uuid>$2</uuid>
  <memory unit='MiB'>$3</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    ${4-<disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/srv/shared/vda.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>}
  </devices>
</domain>
XML
}

# iscsi_disk TARGET LUN: a disk for domain_xml.
iscsi_disk() {
    cat <<XML
<disk type='network' device='disk'>
      <driver name='qemu' type='raw'/>
      <source protocol='iscsi' name='$IQN/$2'>
        <host name='127.0.0.1' port='3260'/>
      </source>
      <target dev='$1' bus='virtio'/>
    </disk>
XML
}

export UUID_A=11111111-1111-4111-8111-111111111111
export UUID_B=22222222-2222-4222-8222-222222222222

target_answers() {
    tgtadm --lld iscsi --op show --mode sys >/dev/null 2>&1
}

# A target with target id 1, no LUNs yet.
target_start() {
    local i
    need tgtd tgtadm
    mkdir -p /run/tgtd
    tgtd -f --iscsi portal=$PORTAL >tgtd.log 2>&1 &
    for ((i = 0; i < 200; i++)); do
        target_answers && break
        read -rt 0.05 <> <(:) || :
    done
    target_answers || die "tgtd does not answer: $(<tgtd.log)"
    tgtadm --lld iscsi --op new --mode target --tid 1 --targetname $IQN
    tgtadm --lld iscsi --op bind --mode target --tid 1 --initiator-address ALL
}

# lun NUMBER SIZE: backed by lunN.
lun() {
    truncate -s "$2" "/run/lun$1"
    tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun "$1" \
        --backing-store "/run/lun$1"
}

# The error cases end with: nothing was changed.
fingerprint() {
    find "$@" -type f ! -name lock -exec sha256sum {} + | sort | sha256sum
}
