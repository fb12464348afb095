# How every installation begins: what is wanted, how to try again, and how to choose.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
package=docker.io
others='apparmor iptables'
wanted='20.10; id'
# Mirrors fail now and then, and the first boot may hold a lock.
again() {
    tries=1
    until "$@"; do
        if [ "$tries" -ge 3 ]; then
            echo "failed $tries times: $*" >&2
            exit 100
        fi
        sleep $((tries * 5))
        tries=$((tries + 1))
    done
}
# Takes the first of the versions in `offered`, one a line, that has the wanted parts;
# 20.10 is wanted, 5:20.10.24+dfsg1-1 is offered.
choose() {
    found=$(printf '%s\n' "$offered" | awk -v wanted="$wanted" '
        {
            version = $1
            sub(/^[0-9]+:/, "", version)
            next_char = substr(version, length(wanted) + 1, 1)
            if (index(version, wanted) == 1 && next_char !~ /[0-9A-Za-z]/) { print $1; exit }
        }')
    if [ -z "$found" ]; then
        {
            echo "there is no $package $wanted for this system; it has:"
            printf '%s\n' "${offered:-none at all}" | sort -u | sed 's/^/  /'
        } >&2
        exit 100
    fi
}
