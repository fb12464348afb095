# Installs the engine of the distribution (Debian and its relatives).
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
DEBIAN_FRONTEND=noninteractive
NEEDRESTART_MODE=a
LC_ALL=C
export PATH DEBIAN_FRONTEND NEEDRESTART_MODE LC_ALL
package=docker.io
wanted='20.10; id'
user=fleet
apt() {
    apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 -o Acquire::http::Timeout=30 "$@"
}
# The lock of the package lists has no such option; the first boot may hold it.
tries=0
until apt update; do
    tries=$((tries + 1))
    if [ "$tries" -ge 3 ]; then
        echo "apt-get update failed $tries times" >&2
        exit 100
    fi
    sleep 5
done
pin=
if [ -n "$wanted" ]; then
    found=$(apt-cache madison "$package" | awk -F' *[|] *' -v wanted="$wanted" '
        {
            version = $2
            sub(/^[0-9]+:/, "", version)
            next_char = substr(version, length(wanted) + 1, 1)
            if (index(version, wanted) == 1 && next_char !~ /[0-9A-Za-z]/) { print $2; exit }
        }')
    if [ -z "$found" ]; then
        {
            echo "there is no $package $wanted for this system; it has:"
            apt-cache madison "$package" | awk -F' *[|] *' '{ print "  " $2 }' | sort -u
        } >&2
        exit 100
    fi
    pin="=$found"
fi
# AppArmor's parser: without it the engine starts no container where the kernel has
# AppArmor on.
apt install -y --no-install-recommends --no-remove --allow-downgrades \
    "$package$pin" apparmor ca-certificates iptables
systemctl enable docker.service
if [ -n "$user" ]; then usermod -aG docker "$user"; fi
