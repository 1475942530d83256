#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# quickmig on a vault in a directory: create, show, edit, history, discard,
# and what is refused.

# shellcheck source-path=SCRIPTDIR source=cli-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/cli-functions.sh" || exit 1
begin "$@"

V=/run/dir/web
mkdir -p $V /run/dir/other
domain_xml web "$UUID_A" 256 >web.xml
domain_xml web "$UUID_A" 512 >web512.xml
domain_xml db "$UUID_B" 256 >db.xml

record_state() { # STATE
    local copy
    for copy in 0 1; do
        "$POKE" $V/record.$copy 0 64 4 "$1" || fail "poke"
    done
}

# --- create
expect 0 "$QUICKMIG" vault create $V --xml web.xml
says "Vault of web created: $V"
says "vault=$V"
says "op start timeout=180s"
says "meta allow-migrate=true"
says "pcs resource create web ocf:quickmig:VirtualMachine"
[[ $ERR == *"fencing"* ]] || fail "no warning about a disk without a gate: $ERR"

expect 0 "$QUICKMIG" vault create /run/dir/other --xml db.xml --json
json ".vm == \"db\" and .uuid == \"$UUID_B\" and .resource == \"db\""
json '.memory == 268435456 and (.crm | contains("migrate_to"))'
json '.warnings | length == 1'

# The timeouts are never below those that the agent advises.
agent=$QM_BUILD/resource-agents/VirtualMachine
if [[ -x $agent ]]; then
    "$agent" meta-data |
        sed -n 's/.*action name="\([a-z_]*\)" timeout="\([0-9]*\)s.*/\1 \2/p' >advised
    jq -r .crm <out >crm
    for action in start stop monitor migrate_to migrate_from; do
        advised=$(sed -n "s/^$action //p" advised | head -1)
        printed=$(sed -n "s/.*op $action timeout=\([0-9]*\)s.*/\1/p" crm)
        [[ -n $advised && $printed -ge $advised ]] ||
            fail "$action: the agent advises $advised, printed: $printed"
    done
fi

# --- show
expect 0 "$QUICKMIG" vault show $V
says "OFF"
says "$UUID_A"
expect 0 "$QUICKMIG" vault show $V --xml
cmp -s out web.xml || fail "the XML came back changed"
expect 0 "$QUICKMIG" vault show $V --json
json '.state == "OFF" and .owner == null and .generation == 0 and .format == 1'
json '.reservation == null and .disks == 1 and .gated_disks == 0'
expect 0 "$QUICKMIG" status $V
says "1 without"
grep -qE "^VM .* VAULT +CAUSE$" out || fail "columns: $OUT"
grep -qE "^web .* $V +vault created$" out || fail "columns: $OUT"
expect 0 "$QUICKMIG" status --vault $V --json
json ".vms | length == 1 and .[0].vm == \"web\" and .[0].error == null"
json ".vms[0].ungated_disks == 1"
refuse 1 "2 of 3|1 of 2" "$QUICKMIG" status $V /run/dir/none --json
json '.vms[1].error.code == "not-found"'

# --- nothing of this changes anything
before=$(fingerprint /run/dir)
refuse 4 'vault of VM "web"' "$QUICKMIG" vault create $V --xml db.xml
refuse 3 "No such file" "$QUICKMIG" vault create /run/dir/none --xml web.xml
refuse 3 "No such file" "$QUICKMIG" vault create $V --xml none.xml --force
echo "<domain><name>x" >broken.xml
refuse 1 "broken.xml" "$QUICKMIG" vault create $V --xml broken.xml --force
domain_xml web "$UUID_A" 256 "" >nodisk.xml
refuse 1 "disk" "$QUICKMIG" vault create $V --xml nodisk.xml --force
refuse 1 "disk" "$QUICKMIG" vault edit $V --xml nodisk.xml
refuse 4 "another VM" "$QUICKMIG" vault edit $V --xml db.xml
refuse 4 "no saved state" "$QUICKMIG" discard $V --yes
refuse 4 "no saved state" "$QUICKMIG" discard $V --yes --json
json '.error.code == "refused"'
refuse 2 "unknown command frob" "$QUICKMIG" frob
refuse 2 "unknown command vault frob" "$QUICKMIG" vault frob
refuse 2 "Unknown option --frob" "$QUICKMIG" vault show $V --frob
refuse 2 "neither iscsi:// nor an absolute path" \
    "$QUICKMIG" vault create dir/web --xml web.xml
refuse 2 "--xml FILE is missing" "$QUICKMIG" vault create $V
refuse 2 "VM is missing" "$QUICKMIG" discard
refuse 2 "no command given" "$QUICKMIG"
refuse 3 "there is no vault" "$QUICKMIG" vault show /run/dir
[[ $(fingerprint /run/dir) == "$before" ]] || fail "something was changed"

# --- edit
expect 0 "$QUICKMIG" vault edit $V --xml web512.xml
says "takes effect"
expect 0 "$QUICKMIG" vault show $V --xml
cmp -s out web512.xml || fail "the new XML is not there"
expect 0 "$QUICKMIG" vault edit $V --xml web512.xml --json
json '.changed == false'
VISUAL="sed -i s/512/384/" expect 0 "$QUICKMIG" vault edit $V --json
json '.changed == true'
expect 0 "$QUICKMIG" vault show $V --json
json '.memory == 402653184'
[[ -z $(find "$TMPDIR" -type f) ]] || fail "a temporary file is left"
before=$(fingerprint /run/dir)
VISUAL="sed -i s/web/nope/" refuse 4 "another VM" "$QUICKMIG" vault edit $V
[[ $ERR == *"your text is kept in"* ]] || fail "the edited text is gone"
file=$(find "$TMPDIR" -type f)
[[ $(stat -c %a "$file") == 600 ]] || fail "$file is not private"
VISUAL=false refuse 1 "editor false" "$QUICKMIG" vault edit $V
record_state 3
refuse 4 "SAVED" "$QUICKMIG" vault edit $V --xml web.xml
record_state 0
[[ $(fingerprint /run/dir) == "$before" ]] || fail "something was changed"

# --- history
expect 0 "$QUICKMIG" history $V
says "vault created"
says "domain XML changed"
expect 0 "$QUICKMIG" history $V --json --limit 1
json '.entries | length == 1 and .[0].cause == "domain XML changed"'
json '.entries[0].node == "administrator" and .entries[0].node_id == 65535'

# --- discard
record_state 3
before=$(fingerprint /run/dir)
refuse 4 "use --yes" "$QUICKMIG" discard $V
refuse 4 "is SAVED" "$QUICKMIG" vault create $V --xml web.xml --force
if command -v script >/dev/null; then
    printf 'n\n' | script -qec "$QUICKMIG discard $V" typed >/dev/null
    rc=$?
    grep -q "Drop the saved state of web" typed || fail "not asked: $(<typed)"
    [[ $rc -eq 4 ]] || fail "a no ended with $rc: $(<typed)"
fi
[[ $(fingerprint /run/dir) == "$before" ]] || fail "something was changed"
if command -v script >/dev/null; then
    printf 'y\n' | script -qec "$QUICKMIG discard $V" typed >/dev/null ||
        fail "a yes did not drop it: $(<typed)"
    record_state 3
fi
expect 0 "$QUICKMIG" discard $V --yes
says "dropped"
expect 0 "$QUICKMIG" vault show $V --json
json '.state == "OFF"'
expect 0 "$QUICKMIG" history $V --json -n 1
json '.entries[0] | .from == "SAVED" and .to == "OFF"'
refuse 4 "no saved state" "$QUICKMIG" discard $V --yes

# --- --force: another VM moves in, image ids go on
expect 0 "$QUICKMIG" vault show $V --json
old=$(jq .image_id <out)
expect 0 "$QUICKMIG" vault create $V --xml db.xml --force
expect 0 "$QUICKMIG" vault show $V --json
json ".vm == \"db\" and .image_id > $old"

# --- damaged, and newer than this program
cp -a $V /run/dir/future
"$POKE" /run/dir/future/superblock 0 8 4 99 || fail "poke"
before=$(fingerprint /run/dir)
refuse 1 "version 99.*update quickmig" "$QUICKMIG" vault show /run/dir/future
refuse 1 "version 99" "$QUICKMIG" discard /run/dir/future --yes
refuse 1 "version 99" "$QUICKMIG" vault create /run/dir/future --xml web.xml
refuse 1 "version 99" \
    "$QUICKMIG" vault create /run/dir/future --xml web.xml --force
[[ $(fingerprint /run/dir) == "$before" ]] || fail "something was changed"
cp -a $V /run/dir/torn
dd if=/dev/urandom of=/run/dir/torn/record.0 bs=4096 count=1 status=none
expect 0 "$QUICKMIG" vault show /run/dir/torn --json
json '.state == "OFF"'
dd if=/dev/urandom of=/run/dir/torn/record.1 bs=4096 count=1 status=none
before=$(fingerprint /run/dir)
refuse 1 "both copies of the record" "$QUICKMIG" vault show /run/dir/torn
refuse 1 "both copies of the record" "$QUICKMIG" discard /run/dir/torn --yes
refuse 1 "1 of 1" "$QUICKMIG" status /run/dir/torn --json
json '.vms[0].error.code == "corrupt"'
[[ $(fingerprint /run/dir) == "$before" ]] || fail "something was changed"

# --- file systems that do not take it
mkdir /run/full /run/readonly
mount -t tmpfs -o size=64k tmpfs /run/full
head -c 65536 /dev/zero >/run/full/other 2>/dev/null
refuse 1 "No space left" "$QUICKMIG" vault create /run/full --xml web.xml
refuse 3 "there is no vault" "$QUICKMIG" vault show /run/full
mount -t tmpfs tmpfs /run/readonly
expect 0 "$QUICKMIG" vault create /run/readonly --xml web.xml
mount -o remount,ro /run/readonly
refuse 1 "Read-only" "$QUICKMIG" vault edit /run/readonly --xml web512.xml
refuse 1 "Read-only" "$QUICKMIG" vault create /run/readonly --xml web.xml --force
expect 0 "$QUICKMIG" status /run/readonly

# --- small: a warning, no refusal
mkdir /run/small
mount -t tmpfs -o size=1m tmpfs /run/small
expect 0 "$QUICKMIG" vault create /run/small --xml web.xml
[[ $ERR == *"warning: /run/small has 1 MiB free"* || $ERR == *"warning: /run/small has"* ]] ||
    fail "no warning about the free space: $ERR"

echo "PASS"
