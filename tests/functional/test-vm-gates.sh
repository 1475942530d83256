#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# libvirt and QEMU take the domain XML that is rewritten for gates; a guest
# outlives the death of what stands behind the socket, is saved and restored.
# qemu-nbd plays the gate.

# shellcheck source=vm-functions.sh
. "$(dirname "$0")/vm-functions.sh"

requires qemu-nbd virt-xml-validate
vm_begin --memory 160 --disk-url iscsi://192.0.2.1:3260/iqn.2026-01.a:b/1

gate_start() {
    lab exec n1 qemu-nbd --fork -t -e 8 --pid-file=/run/nbd.pid -f raw \
        -k "$SOCKET" "$DISK"
    lab exec n1 chmod 666 "$SOCKET"
}

gate_kill() {
    # shellcheck disable=SC2016 # expands in the node
    lab exec n1 sh -c 'kill -KILL $(cat /run/nbd.pid); rm -f "$0"' "$SOCKET"
}

# A CD drive, too: it must not disturb the save.
sed -i '/<\/disk>/a <disk type="file" device="cdrom"><target dev="sda" bus="sata"/><readonly/></disk>' "$XML"
SOCKET=/run/quickmig/gate/$UUID-vda.sock DISK=$(lab shared)/vm.img
"$TOOL" gates "$XML" >"$XML.gates"
! grep -q iscsi "$XML.gates" || fail "iSCSI is left in the XML"
# Not yet in the schema of libvirt 9.0, which ignores it.
sed "s|<reconnect[^>]*>||" "$XML.gates" >"$XML.schema"
virt-xml-validate "$XML.schema" domain
XML=$XML.gates

lab exec n1 mkdir -p "${SOCKET%/*}"
gate_start
vm_boot
guest_goes_on

vm suspend
vm save "$RUN" "$IMAGE"
vm destroy
vm restore "$RUN" "$IMAGE"
is paused
vm resume
guest_goes_on

# What stands behind the socket dies and comes back. libvirt 9.0 does not know
# <reconnect>: there the guest stops at once, and QEMU connects again when it
# is resumed, but too late for its first request: it may stop once more.
before=$(guest_synced vm)
gate_kill
gate_start
writes_again() {
    vm resume
    [[ $(guest_synced vm) -gt $((before + 5)) ]]
}
wait_until 20 writes_again || fail "the guest does not write"
is running
guest_goes_on
! grep -a DISKERR "$(guest_console vm)" || fail "the guest saw an error"
vm shutdown
no_qemu
disk_log_check "$QM_LAB_DIR/shared/vm.img"
echo "PASS"
