#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# A saved domain keeps its memory, whatever becomes of the stream; a restored
# one is paused and goes on; a restore that fails leaves nothing behind.

# shellcheck source=vm-functions.sh
. "$(dirname "$0")/vm-functions.sh"

vm_begin --memory 256 --fill 64

is none
vm_boot
boot=$(guest_boot_id vm)
is running
vm user
vm memory

# libvirt counts in MiB/s; 0 is as fast as it can.
speed() {
    lab exec n1 virsh -q migrate-getspeed vm
}
unlimited=$(speed)
vm speed 5500000
[[ $(speed) == 5 ]] || fail "speed"
vm speed 0
[[ $(speed) == "$unlimited" ]] || fail "full speed"

# Not of a running guest.
must_fail refused 2000 save "$RUN" "$IMAGE"
guest_goes_on

# Saved, rolled back.
vm suspend
vm suspend
vm save "$RUN" "$IMAGE"
is paused
no_fifo
vm resume
vm resume
is running
guest_goes_on

# Broken streams: the reader goes away, or cancels.
vm suspend
must_fail io 5000 save "$RUN" "$IMAGE.broken" 20000000
is paused
must_fail io 10000 save "$RUN" "$IMAGE.broken" 20000000 abort
is paused
no_fifo
vm resume
guest_goes_on

# Saved, ended, restored.
vm suspend
vm save "$RUN" "$IMAGE"
vm destroy
is none
no_qemu
head -c 16 "$IMAGE" | grep -q LibvirtQemudSave || fail "not marked complete"
vm restore "$RUN" "$IMAGE"
is paused
no_fifo
must_fail refused 2000 restore "$RUN" "$IMAGE"
is paused
vm resume
guest_goes_on
[[ $(guest_boot_id vm) == "$boot" ]] || fail "the guest booted"

# Streams that end too early: in the header, the XML, the memory.
vm destroy
for bytes in 0 50 1000 20000000; do
    must_fail io 10000 restore "$RUN" "$IMAGE" "$bytes"
    is none
    no_qemu
done
no_fifo
vm restore "$RUN" "$IMAGE"
vm resume
guest_goes_on

# The guest shuts down when asked; what is not there is gone already.
vm shutdown
is none
no_qemu
vm shutdown
vm destroy
must_fail not-found 2000 suspend
must_fail not-found 2000 resume
must_fail not-found 2000 save "$RUN" "$IMAGE"

# A guest that does not listen.
vm create "$XML"
vm suspend
STEP_MS=1500 must_fail timeout 2000 shutdown
is paused
vm destroy
echo "PASS"
