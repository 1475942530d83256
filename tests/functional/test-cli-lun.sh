#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# quickmig on a vault on a real iSCSI LUN, and every wrong address, secret,
# size and content that an administrator can give it.

# shellcheck source-path=SCRIPTDIR source=cli-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/cli-functions.sh" || exit 1
begin "$@"
tgt_start
tgt_target 1 "$IQN"
tgt_lun 1 1 /run/lun1 1G  # the vault
tgt_lun 1 2 /run/lun2 64M # a disk
tgt_lun 1 3 /run/lun3 64M # too small a vault
tgt_lun 1 4 /run/lun4 1G  # of another VM
tgt_lun 1 5 /run/lun5 1G  # of another cluster

URL=iscsi://$TGT_PORTAL/$IQN
V=$URL/1
domain_xml web "$UUID_A" 256 "$(iscsi_disk vda 2)" >web.xml
domain_xml web "$UUID_A" 320 "$(iscsi_disk vda 2)" >web320.xml
domain_xml web "$UUID_A" 4096 "$(iscsi_disk vda 2)" >web4096.xml
domain_xml db "$UUID_B" 256 "$(iscsi_disk vda 2)" >db.xml
all() { fingerprint /run/lun1 /run/lun2 /run/lun3 /run/lun4; }

record_state() { # STATE
    local copy
    for copy in 65536 69632; do
        "$POKE" /run/lun1 $copy 64 4 "$1" || fail "poke"
    done
}

# --- nothing of this changes anything
before=$(all)
quick=(--timeout 3)
refuse 1 "127.0.0.1:3261" \
    "$QUICKMIG" vault create "iscsi://127.0.0.1:3261/$IQN/1" --xml web.xml "${quick[@]}"
refuse 3 "nosuch" "$QUICKMIG" vault create "iscsi://$TGT_PORTAL/$IQN.nosuch/1" --xml web.xml
refuse 3 "LUN|lun" "$QUICKMIG" vault create "$URL/9" --xml web.xml
refuse 3 "there is no vault" "$QUICKMIG" vault show "$V"
refuse 3 "there is no vault" "$QUICKMIG" discard "$V" --yes
refuse 1 "there is no vault|1 of 1" "$QUICKMIG" status --vault "$V" --json
json '.vms[0].error.code == "unformatted"'
refuse 1 "needs at least .*bytes" "$QUICKMIG" vault create "$URL/3" --xml web.xml
refuse 1 "needs at least" "$QUICKMIG" vault create "$V" --xml web4096.xml
domain_xml web "$UUID_A" 256 "$(iscsi_disk vda 1)" >same.xml
refuse 1 "the vault's LUN" "$QUICKMIG" vault create "$V" --xml same.xml
domain_xml web "$UUID_A" 256 "$(iscsi_disk vda 9)" >nolun.xml
refuse 3 "disk vda" "$QUICKMIG" vault create "$V" --xml nolun.xml
refuse 2 "password|CHAP user" \
    "$QUICKMIG" vault create "iscsi://u:p@$TGT_PORTAL/$IQN/1" --xml web.xml
refuse 2 "LUN is not a number" "$QUICKMIG" vault show "$URL/x"
[[ $(all) == "$before" ]] || fail "something was changed"

# --- create, show, edit, history
expect 0 "$QUICKMIG" vault create "$V" --xml web.xml
says "Disk vda: 64 MiB, can be reserved"
says "vault=$V"
expect 0 "$QUICKMIG" vault show "$V" --json
json '.state == "OFF" and .size == 1073741824 and .gated_disks == 1'
json '.reservation | startswith("0x514dffff")'
expect 0 "$QUICKMIG" status --vault "$V" --json
json '.vms[0].gates == [{"disk":"vda","state":null,"pid":0,"client_pid":0,
    "unfenced":false,"reconnects":0,"read_bytes":0,"written_bytes":0,"reason":null}]'
expect 0 "$QUICKMIG" vault edit "$V" --xml web320.xml
expect 0 "$QUICKMIG" vault show "$V" --xml
cmp -s out web320.xml || fail "the new XML is not there"
expect 0 "$QUICKMIG" history "$V" --json
json '[.entries[].cause] == ["vault created", "domain XML changed"]'

# --- over existing
before=$(fingerprint /run/lun1)
refuse 4 'vault of VM "web"' "$QUICKMIG" vault create "$V" --xml db.xml
refuse 1 "room for" "$QUICKMIG" vault edit "$V" --xml web4096.xml
refuse 4 "another VM" "$QUICKMIG" vault edit "$V" --xml db.xml
refuse 4 "no saved state" "$QUICKMIG" discard "$V" --yes
[[ $(fingerprint /run/lun1) == "$before" ]] || fail "something was changed"
printf 'other data' | dd of=/run/lun4 conv=notrunc status=none
refuse 4 "not empty" "$QUICKMIG" vault create "$URL/4" --xml db.xml
expect 0 "$QUICKMIG" vault create "$URL/4" --xml db.xml --force
expect 0 "$QUICKMIG" status "$V" "$URL/4" --json
json '[.vms[].vm] == ["web", "db"]'

# --- discard
record_state 3
refuse 4 "use --yes" "$QUICKMIG" discard "$V"
expect 0 "$QUICKMIG" discard "$V" --yes
expect 0 "$QUICKMIG" vault show "$V" --json
json '.state == "OFF"'

# --- unreachable disks are a warning, --no-check checks nothing
sed s/3260/3261/ web.xml >far.xml
expect 0 "$QUICKMIG" vault create "$V" --xml far.xml --force "${quick[@]}"
[[ $ERR == *"disk vda was not checked"* ]] || fail "no warning: $ERR"
expect 0 "$QUICKMIG" vault create "$V" --xml nolun.xml --force --no-check
says "Disk vda: skipped"

# --- damaged, and newer than this program
cp /run/lun1 keep
"$POKE" /run/lun1 0 8 4 99 || fail "poke"
refuse 1 "version 99.*update quickmig" "$QUICKMIG" vault show "$V"
refuse 1 "version 99" "$QUICKMIG" vault create "$V" --xml web.xml
refuse 1 "version 99" "$QUICKMIG" vault create "$V" --xml web.xml --force
cat keep >/run/lun1
dd if=/dev/urandom of=/run/lun1 bs=4096 seek=16 count=1 conv=notrunc status=none
expect 0 "$QUICKMIG" vault show "$V"
dd if=/dev/urandom of=/run/lun1 bs=4096 seek=17 count=1 conv=notrunc status=none
before=$(fingerprint /run/lun1)
refuse 1 "both copies of the record" "$QUICKMIG" vault show "$V"
refuse 1 "both copies of the record" "$QUICKMIG" discard "$V" --yes
[[ $(fingerprint /run/lun1) == "$before" ]] || fail "something was changed"
cat keep >/run/lun1

# --- held by something else: left alone
requires_built tests/functional/lun-tool
"$QM_BUILD/tests/functional/lun-tool" "$URL/5" 7 foreign 0x1234 5 drop ||
    fail "lun-tool"
domain_xml db "$UUID_B" 256 "$(iscsi_disk vda 5)" >foreign.xml
before=$(fingerprint /run/lun1 /run/lun5)
refuse 4 "disk vda .*reserved by something that is not quickmig" \
    "$QUICKMIG" vault create "$V" --xml foreign.xml --force
refuse 4 "not quickmig|foreign" "$QUICKMIG" vault create "$URL/5" --xml web.xml
[[ $(fingerprint /run/lun1 /run/lun5) == "$before" ]] ||
    fail "something was changed"

# --- CHAP
tgtadm --lld iscsi --op new --mode account --user joe --password secret-of-12
tgtadm --lld iscsi --op bind --mode account --tid 1 --user joe
CHAP=iscsi://joe@$TGT_PORTAL/$IQN/1
(umask 077; echo secret-of-12 >good; echo secret-of-13 >wrong; : >empty)
expect 0 "$QUICKMIG" vault show "$CHAP" --secret-file good
before=$(fingerprint /run/lun1)
refuse 1 "CHAP|login|denied|refused" \
    "$QUICKMIG" vault show "$CHAP" --secret-file wrong
refuse 1 "CHAP|login|denied|refused" "$QUICKMIG" vault show "$V"
refuse 1 "one line" "$QUICKMIG" vault show "$CHAP" --secret-file empty
refuse 1 "cannot read the CHAP secret" \
    "$QUICKMIG" vault show "$CHAP" --secret-file none
refuse 1 "CHAP secret of user joe" "$QUICKMIG" vault show "$CHAP" \
    --connect qemu+unix:///system?socket=/run/none
[[ $(fingerprint /run/lun1) == "$before" ]] || fail "something was changed"
grep -rq "secret-of-12" out err && fail "the secret was printed"

echo "PASS"
