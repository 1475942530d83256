# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# shellcheck shell=bash
#
# For tests of quickmig(8), sourced; on top of functions.sh.
#
#   begin "$@"                  isolates; afterwards /run is the work directory
#   expect CODE COMMAND...      OUT and ERR are what it printed
#   refuse CODE PATTERN COMMAND...   it fails and says why
#   json FILTER                 is true of what the last command printed
#   says TEXT                   the last command printed it
#   domain_xml, iscsi_disk      make a domain XML
#   fingerprint PATH...         of the contents, to see that nothing changed

# shellcheck source-path=SCRIPTDIR source=functions.sh
. "${QM_SRC:?the source directory}/tests/functional/functions.sh" || exit 1

export QUICKMIG=${QM_BUILD:?the build directory}/src/cli/quickmig
export POKE=$QM_BUILD/tests/functional/vault-poke
IQN=iqn.2026-01.org.example:storage
export UUID_A=11111111-1111-4111-8111-111111111111
export UUID_B=22222222-2222-4222-8222-222222222222

begin() {
    requires jq
    requires_built src/cli/quickmig tests/functional/vault-poke
    isolate "$@"
    mkdir -p /run/dir /run/tmp /etc/iscsi
    echo InitiatorName=iqn.2026-01.org.example:admin \
        >/etc/iscsi/initiatorname.iscsi
    export TMPDIR=/run/tmp QM_RUN_DIR=/run/quickmig
    cd /run || fail "no /run"
}

expect() {
    local want=$1 rc=0
    shift
    "$@" >out 2>err </dev/null || rc=$?
    OUT=$(<out) ERR=$(<err)
    [[ $rc -eq $want ]] ||
        fail "$* ended with $rc, not $want; it said: $ERR"
}

refuse() {
    local pattern=$2
    expect "$1" "${@:3}"
    grep -qE -- "^quickmig: .*$pattern" \
        <<<"$(grep -v '^quickmig: warning: ' err)" ||
        fail "${*:3}: expected \"$pattern\", it said: $ERR"
    [[ -z $OUT ]] || [[ " $* " == *" --json "* ]] ||
        fail "${*:3}: printed on standard output: $OUT"
    echo "ok: ${*:4}: $(tail -1 err)"
}

json() {
    jq -e "$1" >/dev/null <out || fail "not true: $1 of: $OUT"
}

says() {
    grep -qF -- "$1" out || fail "expected \"$1\", it printed: $OUT"
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

fingerprint() {
    find "$@" -type f ! -name lock -exec cksum {} + | sort | cksum
}
