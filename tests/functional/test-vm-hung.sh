#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# alone: its deadlines are those of one call
#
# A libvirtd that hangs or dies, and processes of ours that die, are errors in
# time; the guest survives them.

# shellcheck source=vm-functions.sh
. "$(dirname "$0")/vm-functions.sh"

vm_begin --memory 256 --fill 64

vm_boot

# Hung: every call ends in time, and so does the process.
hung() {
    STEP_MS=500 must_fail timeout "$1" stalled "$LIBVIRTD" "${@:2}"
    lab libvirtd n1 thaw
    is running
}
hung 1000 state
hung 1000 suspend
vm resume
hung 1000 resume
hung 1000 create "$XML"
hung 1000 user
hung 1000 secret x
STEP_MS=500 must_fail timeout 2500 stalled "$LIBVIRTD" save "$RUN" "$IMAGE"
lab libvirtd n1 thaw
is running
lab libvirtd n1 freeze
STEP_MS=500 must_fail timeout 1000 state
lab libvirtd n1 thaw
guest_goes_on

# Dead in the middle of a save: back again, it still has the guest.
vm suspend
must_fail io 10000 save "$RUN" "$IMAGE" 20000000 "$LIBVIRTD"
must_fail io 2000 state
must_fail io 2000 destroy
must_fail io 2000 restore "$RUN" "$IMAGE"
lab libvirtd n1 start
is paused
vm resume
guest_goes_on

# Dead in the middle of a restore: its QEMU does not stay.
vm suspend
vm save "$RUN" "$IMAGE"
vm destroy
must_fail io 10000 restore "$RUN" "$IMAGE" 20000000 "$(lab libvirtd n1 pid)"
no_qemu
lab libvirtd n1 start
is none
vm restore "$RUN" "$IMAGE"
vm resume
guest_goes_on

# We die in the middle of a save.
vm suspend
lab exec n1 "$TOOL" "$UUID" save "$RUN" "$IMAGE" 20000000 die || true
is paused
vm save "$RUN" "$IMAGE"
no_fifo
vm resume
guest_goes_on

# libvirtd waits for the other end of a FIFO whose reader died: swept away.
vm suspend
lab exec n1 mkfifo "$RUN/save-1.fifo"
snapshot="<domainsnapshot><memory snapshot='external' \
file='$RUN/save-1.fifo'/><disks><disk name='vda' snapshot='manual'/></disks>\
</domainsnapshot>"
lab exec n1 virsh -c qemu:///system snapshot-create "$UUID" /dev/stdin \
    --no-metadata --atomic <<<"$snapshot" >"$QM_LAB_DIR/virsh.log" 2>&1 &
virsh=$!
# It holds the domain meanwhile: nobody can ask for its state.
libvirtd_waits() {
    # shellcheck disable=SC2016 # expands in the node
    lab exec n1 sh -c 'grep -qx wait_for_partner /proc/$0/task/*/wchan' \
        "$(lab libvirtd n1 pid)"
}
wait_until 10 libvirtd_waits
STEP_MS=500 must_fail timeout 1000 state
vm save "$RUN" "$IMAGE" || vm save "$RUN" "$IMAGE"
! wait "$virsh" || fail "virsh saved into a FIFO without a reader"
no_fifo
vm resume
guest_goes_on

# QEMU hangs: libvirt kills it hard after a while.
lab exec n1 pkill -STOP qemu-system
STEP_MS=500 must_fail timeout 1000 suspend
is running
STEP_MS=30000 vm destroy
is none
no_qemu
echo "PASS"
