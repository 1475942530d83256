#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# What bash offers after "quickmig ...<Tab>".

set -u
: "${QM_BUILD:?the build directory}" "${QM_SRC:?the source directory}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/dir"
touch "$work/dir/vm.xml"

# The real program, but for the VMs of a cluster.
cat >"$work/bin/quickmig" <<EOP
#!/bin/bash
if [[ \$1 == status && \$2 == --json ]]; then
    echo '{ "vms" : [ {'
    echo '      "resource" : "rsc-web",'
    echo '      "vm" : "web"'
    echo '}, { "x" : 1,'
    echo '      "resource" : "db"'
    echo '} ] }'
else
    exec "$QM_BUILD/src/cli/quickmig" "\$@"
fi
EOP
chmod +x "$work/bin/quickmig"
printf '#!/bin/sh\necho "1 n1 member"\necho "2 n2 lost"\n' >"$work/bin/crm_node"
chmod +x "$work/bin/crm_node"
printf '#!/bin/sh\necho web-plain\necho db-plain\n' >"$work/bin/virsh"
chmod +x "$work/bin/virsh"
PATH=$work/bin:$PATH

# shellcheck source=/dev/null
. "$QM_SRC/src/cli/bash-completion/quickmig" || exit 1
failed=0

# offers "LINE" WORD...: the last word of LINE is the one being typed.
offers() {
    local got want line=$1
    shift
    read -r -a COMP_WORDS <<<"$line"
    [[ $line != *" " ]] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _quickmig
    got=$(printf '%s\n' "${COMPREPLY[@]}" | sort | xargs)
    want=$(printf '%s\n' "$@" | sort | xargs)
    if [[ $got != "$want" ]]; then
        echo "FAIL: '$line' offers '$got', not '$want'" >&2
        failed=1
    else
        echo "ok: '$line' -> $got"
    fi
}

cd "$work/dir" || exit 1
offers "quickmig " vault status history move jobs cancel drain undrain hosts plan protect \
    unprotect capacity doctor discover discard --help \
    --version
offers "quickmig sta" status
offers "quickmig vault " create show edit set-cpu
offers "quickmig vault s" set-cpu show
offers "quickmig vault nope " # nothing: it is no command
offers "quickmig status " db rsc-web web
offers "quickmig status w" web
offers "quickmig status web --j" --json
offers "quickmig history --l" --limit
offers "quickmig history --limit " # a number
offers "quickmig discard rs" rsc-web
offers "quickmig protect " web-plain db-plain
offers "quickmig protect --dr" --dry-run
offers "quickmig protect x --xml " vm.xml
offers "quickmig protect x --vault $work/di" "$work/dir"
offers "quickmig unprotect w" web
offers "quickmig unprotect --r" --restart
offers "quickmig doctor --a" --all
offers "quickmig doctor " # takes nothing
offers "quickmig discover q" qemu:///system qemu+ssh://
offers "quickmig discover --" --connect --secret-file --timeout --json --help
offers "quickmig discard --" --yes --connect --secret-file --timeout --json --help
offers "quickmig vault create --f" --force
offers "quickmig vault create --xml " vm.xml
offers "quickmig vault show --xml " db rsc-web web
offers "quickmig vault show --f"
offers "quickmig vault edit we" web
offers "quickmig vault set-cpu we" web
offers "quickmig vault set-cpu web --b" --baseline
offers "quickmig move " db rsc-web web
offers "quickmig move web " n1 n2
offers "quickmig move --no-precopy web n2 --m" --mode
offers "quickmig move web n2 --mode " quick live auto
offers "quickmig jobs --u" --until-done
offers "quickmig cancel d" db

[[ $failed -eq 0 ]] && echo "PASS"
exit $failed
