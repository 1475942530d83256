#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# quickmig protect without a cluster: what it refuses, and what a dry run
# prints, with a CIB in a file, libvirt's test driver, and a real target.  The
# tutorial shows the output as it is.

# shellcheck source-path=SCRIPTDIR source=cli-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/cli-functions.sh" || exit 1
requires cibadmin
begin "$@"

TARGET=iqn.2026-01.org.example:web
VAULT=iscsi://127.0.0.1/$TARGET/2
tgt_start
tgt_target 1 "$TARGET"
tgt_lun 1 1 /run/disk.img 64M
tgt_lun 1 2 /run/vault.img 5G
tgt_lun 1 3 /run/small.img 100M

TEST_NS="xmlns:test='http://libvirt.org/schemas/domain/test/1.0'"
# domain NAME UUID STATE DISK: for the test driver; state 5 is off, 1 running.
domain() {
    domain_xml "$1" "$2" 4096 "$4" |
        sed -e "s|<domain type='qemu'>|<domain type='test' $TEST_NS>&|" \
            -e "s|<domain type='qemu'>|<test:runstate>$3</test:runstate>|" \
            -e "s|<vcpu>1|<vcpu>2|"
}

disk=$(iscsi_disk vda 1)
disk=${disk/$IQN/$TARGET}
file="<disk type='file'><source file='/run/disk.img'/><target dev='vda'/></disk>"
hostdev="$disk<hostdev mode='subsystem' type='pci'><source>
    <address domain='0' bus='0' slot='1' function='0'/></source></hostdev>"
cat >node.xml <<XML
<node>
  <cpu><nodes>1</nodes><sockets>1</sockets><cores>4</cores><threads>1</threads>
    <active>4</active><mhz>1000</mhz><model>x86_64</model></cpu>
  <memory>8388608</memory>
$(domain web "$UUID_A" 5 "$disk")
$(domain busy "$UUID_B" 1 "$disk")
$(domain local 33333333-3333-4333-8333-333333333333 5 "$file")
$(domain bound 44444444-4444-4444-8444-444444444444 5 "$hostdev")
</node>
XML
URI=test:///run/node.xml

cibadmin --empty >cib.xml
export CIB_file=/run/cib.xml

protect() {
    local vm=$1
    shift
    "$QUICKMIG" protect "$vm" --connect "$URI" "$@"
}

# What must not change: the CIB, and what was written to the LUNs.
state() {
    sha256sum cib.xml
    stat -c '%n %Y %b' ./*.img
}

before=$(state)

step "refused"
refuse 2 "--vault VAULT is missing" protect web
refuse 2 "expected" protect web --vault nonsense
refuse 3 "no domain called nobody" protect nobody --vault "$VAULT"
refuse 4 "started anew once" protect busy --vault "$VAULT"
refuse 4 "own file system|cannot be told" protect local --vault "$VAULT"
refuse 4 "hostdev type='pci'" protect bound --vault "$VAULT"
refuse 4 "hostdev type='pci'" protect bound --vault "$VAULT" --force
refuse 1 "make the LUN larger" protect web \
    --vault "iscsi://127.0.0.1/$TARGET/3"
refuse 1 "is the vault's LUN" protect web \
    --vault "iscsi://127.0.0.1/$TARGET/1" --no-check
refuse 3 "" protect web --vault "iscsi://127.0.0.1/$TARGET/9"

step "a dry run"
expect 0 protect web --vault "$VAULT" --dry-run --json
json '.resource == "web" and .dry_run and .vault_there == false and
    .node_daemon_added and .rate == 0 and .node == null and
    .start_timeout == 180 and .stop_timeout == 300 and .vcpus == 2'
expect 0 protect local --vault "$VAULT" --dry-run --force
[[ $(state) == "$before" ]] ||
    fail "something has changed"

step "what is there already"
cibadmin --create -o resources -X "<primitive id='web' class='ocf'
    provider='pacemaker' type='Dummy'/>" || fail "cibadmin"
refuse 4 "something called web" protect web --vault "$VAULT" --dry-run
cibadmin --empty >cib.xml
cibadmin --create -o resources -X "<primitive id='x' class='ocf'
    provider='quickmig' type='VirtualMachine'><instance_attributes id='i'>
    <nvpair id='v' name='vault' value='$VAULT'/></instance_attributes>
    </primitive>" || fail "cibadmin"
refuse 4 "resource x has this vault" protect web --vault "$VAULT" --dry-run
cibadmin --empty >cib.xml
cibadmin --create -o resources -X "<clone id='mine'><primitive id='d'
    class='ocf' provider='quickmig' type='Node'/></clone>" || fail "cibadmin"
cibadmin --modify --allow-create -o configuration -X "<configuration>
    <rsc_defaults><meta_attributes id='d-o'><nvpair id='s'
    name='resource-stickiness' value='1000'/></meta_attributes></rsc_defaults>
    </configuration>" || fail "cibadmin"
expect 0 protect web --vault "$VAULT" --dry-run --json
json '.node_daemon_added == false and (.crm | test("mine:start")) and
    (.crm | test("resource-stickiness") | not)'

step "the tutorial"
cibadmin --empty >cib.xml
expect 0 protect web --vault "$VAULT" --dry-run
sed -e "s,iscsi://127.0.0.1/,iscsi://web@192.0.2.10/,; s, hypervisor=$URI,," \
    out >real
sed -n '/^# quickmig protect web .*--dry-run$/,/^```/p' \
    "$QM_SRC/doc/tutorial.md" | sed '1d;$d' >shown
diff shown real || fail "the tutorial shows something else"
"$QUICKMIG" doctor >out 2>/dev/null || :
checks=$(grep -o '^[0-9]* checks:' out)
grep -q "^$checks 0 errors" "$QM_SRC/doc/tutorial.md" ||
    fail "the doctor makes $checks, not as many as the tutorial says"

echo "PASS"
