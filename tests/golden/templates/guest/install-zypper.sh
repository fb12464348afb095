# Installs with zypper: openSUSE and SLES.
module=sle-module-containers/15.6
# In seconds; older ones fail instead, which is tried again.
ZYPP_LOCK_TIMEOUT=300
export ZYPP_LOCK_TIMEOUT
# 102, 103 and 106 are no failures: a restart is due, or a repository was left out.
zypp() {
    zypper --non-interactive "$@" || case $? in
        102 | 103 | 106) ;;
        *) return 1 ;;
    esac
}
offers() {
    zypper --non-interactive --quiet search --match-exact --details --type package "$package" |
        awk -F' *[|] *' -v name="$package" '$2 == name { print $4 }' | sort -rV
}
again zypp refresh
offered=$(offers)
if [ -z "$offered" ] && [ -n "$module" ] && command -v SUSEConnect >/dev/null; then
    again SUSEConnect -p "$module/$(uname -m)"
    again zypp refresh
    offered=$(offers)
fi
pin=
if [ -n "$wanted" ]; then
    choose
    pin="=$found"
fi
# shellcheck disable=SC2086 # the others are several words
again zypp install --oldpackage "$package$pin" $others
