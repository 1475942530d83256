#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# What is asked of libvirt about the host: QEMU's user, memory, secrets.

# shellcheck source=vm-functions.sh
. "$(dirname "$0")/vm-functions.sh"

vm_begin
SECRET=11111111-2222-4333-8444-555555555555

vm user
[[ $OUT == "$(lab exec n1 id -u libvirt-qemu) "* ]] || fail "wrong user"
vm memory
[[ ${OUT%%$'\n'*} -gt 1000000 ]] || fail "no free memory"

virsh() {
    lab exec n1 virsh -q -c qemu:///system "$@"
}

# define PRIVATE
define() {
    virsh secret-define /dev/stdin <<XML
<secret ephemeral='yes' private='$1'><uuid>$SECRET</uuid>
<usage type='iscsi'><target>web1-chap</target></usage></secret>
XML
}

must_fail not-found 2000 secret web1-chap
define no
must_fail not-found 2000 secret web1-chap # has no value yet
printf 'geheim 1+1' >"$QM_LAB_DIR/value"
virsh secret-set-value "$SECRET" --file "$QM_LAB_DIR/value" --plain
for name in web1-chap "$SECRET"; do
    vm secret "$name"
    [[ $OUT == "geheim 1+1"$'\n'* ]] || fail "wrong value"
done
must_fail not-found 2000 secret other
must_fail not-found 2000 secret 99999999-2222-4333-8444-555555555555
printf 'a\0b' >"$QM_LAB_DIR/value"
virsh secret-set-value "$SECRET" --file "$QM_LAB_DIR/value" --plain
must_fail invalid 2000 secret web1-chap
virsh secret-undefine "$SECRET"
define yes
virsh secret-set-value "$SECRET" --file "$QM_LAB_DIR/value" --plain
must_fail io 2000 secret web1-chap # private: libvirt keeps it to itself
echo "PASS"
