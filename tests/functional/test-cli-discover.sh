#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# quickmig discover, with libvirt's own test driver for a hypervisor: hosts,
# VMs, hardware, obstacles; one that does not answer hides nothing of the
# others; nothing is known of protection without a cluster.

# shellcheck source-path=SCRIPTDIR source=cli-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/cli-functions.sh" || exit 1
begin "$@"

disk=$(iscsi_disk vda 1)
cat >node.xml <<XML
<node>
  <cpu><nodes>1</nodes><sockets>1</sockets><cores>4</cores><threads>1</threads>
    <active>4</active><mhz>1000</mhz><model>x86_64</model></cpu>
  <memory>8388608</memory>
$(domain_xml plain "$UUID_A" 1024)
$(domain_xml iscsi "$UUID_B" 2048 "$disk")
</node>
XML
sed -i "s/<domain type='qemu'>/<domain type='test'>/" node.xml
# The test driver is a build option of libvirt; all distributions have it.
uri=test:///run/node.xml

step "two VMs"
expect 0 "$QUICKMIG" discover "$uri" --json
json '.hypervisors | length == 1 and .[0].cpus == 4 and
    .[0].memory == 8589934592 and .[0].error == null'
json '[.hypervisors[0].vms[].name] == ["iscsi", "plain"]'
json '.hypervisors[0].vms[0] | .memory == 2147483648 and .vcpus == 1 and
    .disks == [{"target": "vda", "kind": "iscsi",
        "source": "iqn.2026-01.org.example:storage/1", "drive": false,
        "gated": true}] and .obstacles == []'
json '.hypervisors[0].vms[1].obstacles[0] | .severity == "doubt" and
    (.text | test("/srv/shared/vda.img"))'
json '.hypervisors[0].vms | all(.protected == null)' # no cluster here
json '.cluster_error.code != null'

step "as text"
expect 0 "$QUICKMIG" discover "$uri"
grep -qE '^iscsi +running +1 +- +2 GiB +vda iscsi +- +BIOS +\?$' out ||
    fail "the row of iscsi: $OUT"
grep -qE '^plain .* no: doubtful$' out || fail "the row of plain: $OUT"
says "  plain: doubt: disk vda is a file"

step "one does not answer"
expect 1 "$QUICKMIG" discover qemu+unix:///system?socket=/run/none "$uri" --json
json '.hypervisors[0].error.code == "io" and
    (.hypervisors[0] | has("vms") | not)'
json '.hypervisors[1].vms | length == 2'
grep -q "1 of 2 hypervisors do not answer" err || fail "it said: $ERR"

echo "PASS"
