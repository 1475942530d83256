#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The example configurations, and the commands that vault create prints, are
# taken by crmsh, pcs and Pacemaker itself.

# shellcheck source-path=SCRIPTDIR source=cli-functions.sh
. "${QM_SRC:?the source directory}/tests/functional/cli-functions.sh" || exit 1
requires crm pcs cibadmin crm_verify xmllint
begin "$@"

agent=$QM_BUILD/resource-agents/VirtualMachine
[[ -x $agent ]] || fail "not built: $agent"
ocf=$(pkg-config --variable=ocfdir pacemaker)
mkdir -p /run/ocf /run/ocf-work /var/log/crmsh
mount -t overlay overlay \
    -o "lowerdir=$ocf,upperdir=/run/ocf,workdir=/run/ocf-work" "$ocf"
mkdir -p "$ocf/quickmig"
ln -s "$agent" "$ocf/quickmig/VirtualMachine"
ln -s "${agent%/*}/Node" "$ocf/quickmig/Node"

# A cluster that exists on paper, with fencing.
paper() { # FILE
    cibadmin --empty >"$1"
    CIB_file=$1 cibadmin --create -o resources -X \
        '<primitive id="fence" class="stonith" type="fence_dummy"/>' ||
        fail "cibadmin"
}

check() { # FILE WHAT RESOURCES
    local resources op
    resources=$(xmllint --xpath \
        'count(//primitive[@provider="quickmig" and @type="VirtualMachine"])' \
        "$1")
    [[ $resources -eq $3 ]] || fail "$2: $resources resources, not $3"
    for op in start stop monitor migrate_to migrate_from; do
        [[ $(xmllint --xpath \
            "count(//primitive[@type='VirtualMachine']//op[@name='$op'])" \
            "$1") -eq $3 ]] ||
            fail "$2: not every VM has its $op"
    done
    [[ $(xmllint --xpath \
        'count(//nvpair[@name="allow-migrate" and @value="true"])' "$1") -eq \
        $3 ]] || fail "$2: not every VM may migrate"
    crm_verify --verbose --xml-file "$1" >verify 2>&1 ||
        fail "$2: crm_verify: $(<verify)"
    echo "ok: $2"
}

# --- crmsh
paper crm.cib
CIB_file=$PWD/crm.cib crm configure load update \
    "$QM_SRC/examples/cluster.crm" >out 2>&1
grep -E 'quickmig.*(ERROR|WARNING)|timeout .* smaller' out &&
    fail "crmsh complains: $(<out)"
check crm.cib examples/cluster.crm 2

# --- pcs; it works on the file that the script makes
paper pcs.cib
mkdir bin
cat >bin/pcs <<'EOP'
#!/bin/sh
if [ "$1 $2" = "cluster cib" ]; then
    exec cp "$PAPER" "$3"
elif [ "$1 $2" = "cluster cib-push" ]; then
    exec cp "$3" "$PAPER"
fi
exec "$PCS" "$@"
EOP
chmod +x bin/pcs
PAPER=$PWD/pcs.cib PCS=$(command -v pcs) PATH=$PWD/bin:$PATH \
    sh "$QM_SRC/examples/cluster.pcs.sh" >out 2>&1 || fail "pcs: $(<out)"
check pcs.cib examples/cluster.pcs.sh 2

# --- both say the same
for vm in web db; do
    for tool in crm pcs; do
        python3 "$QM_SRC/tests/cluster/cib-normal.py" $tool.cib $vm >$tool.txt
    done
    [[ $(wc -l <crm.txt) -ge 20 ]] || fail "too little of $vm: $(<crm.txt)"
    diff crm.txt pcs.txt || fail "the examples differ in $vm"
done

# --- what vault create prints
mkdir vault
domain_xml web "$UUID_A" 4096 >vm.xml
expect 0 "$QUICKMIG" vault create /run/vault --xml vm.xml --json
jq -r .crm <out >crm.sh
jq -r .pcs <out | sed 's/^pcs /pcs -f printed-pcs.cib /' >pcs.sh
paper printed-crm.cib
CIB_file=$PWD/printed-crm.cib sh crm.sh >out 2>&1
grep -E 'timeout .* smaller' out && fail "crmsh complains: $(<out)"
check printed-crm.cib "the printed crm command" 1
paper printed-pcs.cib
sh pcs.sh >out 2>&1 || fail "pcs: $(<out)"
check printed-pcs.cib "the printed pcs command" 1

# --- the domain XML
xmllint --noout "$QM_SRC/examples/vm.xml" || fail "examples/vm.xml"
if command -v virt-xml-validate >/dev/null; then
    virt-xml-validate "$QM_SRC/examples/vm.xml" domain >out 2>&1 ||
        fail "examples/vm.xml: $(<out)"
fi
mkdir vm
expect 0 "$QUICKMIG" vault create /run/vm --xml "$QM_SRC/examples/vm.xml" \
    --no-check --json
json '.disks[0].target == "iqn.2026-01.org.example:web" and .disks[0].lun == 1'

echo "PASS"
