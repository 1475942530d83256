#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
# timeout: 120
#
# The agent as OCF 1.1, crmsh, pcs and ocf-tester want it: meta-data, manual
# page, validate-all and reload-agent that touch nothing; and a whole life of a
# VM under ocf-tester.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/../cluster/lib.sh"

RNG=/usr/share/pcs/data/ocf-1.1.rng
BUILT=$QM_DEST$AGENT

[[ -e $RNG ]] || {
    echo "SKIP: no $RNG (pcs)"
    exit 77
}
lab_requires
WORK=$(mktemp -d)
[[ -x $BUILT ]] || die "not installed: $BUILT"

# What pcs's relaxed schema lets pass.  Each expression has to be true.
strict_checks() {
    local expression
    while read -r expression; do
        [[ $(xmllint --xpath "boolean($expression)" "$1") == true ]] ||
            die "meta-data: not true: $expression"
    done <<'XPATH'
/resource-agent[@name='VirtualMachine'][@version]/version[.='1.1']
count(//longdesc[@lang='en']) = count(//longdesc)
count(//shortdesc[@lang='en']) = count(//shortdesc)
count(/resource-agent/longdesc) = 1 and count(/resource-agent/shortdesc) = 1
not(//parameter[count(longdesc) != 1 or count(shortdesc) != 1])
not(//parameter[count(content) != 1])
not(//parameter[not(@required)] | //parameter[not(@reloadable)])
not(//@unique)
not(//parameter[@name = preceding-sibling::parameter/@name])
not(//parameter[@required='1' and content/@default])
not(//parameter[@required='0' and not(content/@default) and @name != 'image_secret' and @name != 'health_command' and @name != 'network_map'])
not(//content[@type='select' and count(option) < 2])
not(//content[@type='select' and not(option/@value = @default)])
not(//content[@type!='string' and @type!='integer' and @type!='select'])
//parameter[@name='vault'][@required='1'][@unique-group]
not(//action[not(@timeout)])
not(//action[@name='monitor' and not(@interval and @depth)])
//action[@name='start'] and //action[@name='stop']
//action[@name='monitor'] and //action[@name='meta-data']
//action[@name='validate-all'] and //action[@name='reload-agent']
//action[@name='migrate_to'] and //action[@name='migrate_from']
not(//parameter[@reloadable='1']) or //action[@name='reload-agent']
XPATH
}

# No cluster, no libvirt, no network, no environment: still an answer.
metadata_anywhere() {
    env -i unshare --net --mount --pid --fork "$BUILT" meta-data \
        >"$WORK/metadata.xml" || die "no meta-data"
    xmllint --noout --relaxng "$RNG" "$WORK/metadata.xml" 2>"$WORK/out" ||
        die "meta-data: $(<"$WORK/out")"
}

man_page_is_fresh() {
    command -v xsltproc >/dev/null || {
        say "no xsltproc: manual page not compared"
        return
    }
    xsltproc --nonet "$QM_SRC/doc/ocf_quickmig_VirtualMachine.xsl" \
        "$WORK/metadata.xml" |
        diff "$QM_SRC/doc/ocf_quickmig_VirtualMachine.7" - ||
        die "manual page is out of date: make update-agent-man"
}

# What it opens for writing, makes or removes, and whom it connects to.
touches_nothing() {
    local action
    command -v strace >/dev/null || {
        say "no strace: not checked what validate-all touches"
        return
    }
    for action in validate-all reload-agent meta-data; do
        env OCF_RESOURCE_INSTANCE=vm1 OCF_RESKEY_vault=/nonexistent/vault \
            QM_LOG_FILE=/dev/null strace -f -o "$WORK/strace" \
            -e trace=%file,connect "$BUILT" "$action" >"$WORK/out" 2>&1 ||
            die "$action fails: $(<"$WORK/out")"
        ! grep -vE 'O_RDONLY|/dev/(log|null)|^[0-9]+ +(execve|access|readlink|[+])|^[0-9]+ +(new)?f?statx?|statfs' \
            "$WORK/strace" || die "$action touches something"
    done
}

shells_understand_it() {
    local out
    out=$(on n1 crm ra info ocf:quickmig:VirtualMachine) || die "crm ra info"
    grep -q '^vault\* (string)' <<<"$out" || die "crm: $out"
    grep -q '^stop_action (select, \[save\])' <<<"$out" || die "crm: $out"
    grep -q 'migrate_to  *timeout=300s' <<<"$out" || die "crm: $out"
    out=$(on n1 pcs resource describe ocf:quickmig:VirtualMachine) || die "pcs"
    grep -q 'vault (required) (unique group: vault)' <<<"$out" ||
        die "pcs: $out"
    on n1 crm_resource --show-metadata ocf:quickmig:VirtualMachine \
        >"$WORK/shown.xml" || die "crm_resource --show-metadata"
    strict_checks "$WORK/shown.xml"
}

# It has one failure to expect: its DTD knows OCF 1.0 only.
ocf_tester_is_content() {
    local out
    [[ -x /usr/sbin/ocf-tester ]] || return 0
    vm_create vm1 dir -- --ip 10.77.0.101
    on n1 crm configure delete vm1
    out=$(on n1 ocf-tester -n vm1 -o vault="${VM_VAULT[vm1]}" "$AGENT" 2>&1) ||
        true
    out=$(grep -E '^\* (rc|Your agent)' <<<"$out" | grep -v '(optional)') ||
        true
    [[ -z $out || $out == "* rc=4: Your agent produces meta-data which does \
not conform to ra-api-1.dtd" ]] || die "ocf-tester: $out"
    # Its last action is a migrate_from.
    agent n1 vm1 monitor || die "does not run after migrate_from"
    agent n1 vm1 stop || die "stop after ocf-tester"
    [[ $(vm_copies vm1) == 0 ]] || die "a domain is left"
}

metadata_anywhere
strict_checks "$WORK/metadata.xml"
man_page_is_fresh
touches_nothing
cluster_up 1
shells_understand_it
ocf_tester_is_content
rm -rf "$WORK"
say "ok"
