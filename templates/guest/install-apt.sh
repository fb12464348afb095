# Installs with apt: Debian and its relatives.
DEBIAN_FRONTEND=noninteractive
NEEDRESTART_MODE=a
export DEBIAN_FRONTEND NEEDRESTART_MODE
apt() {
    apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 -o Acquire::http::Timeout=30 "$@"
}
# The lock of the package lists has no such option.
again apt update
pin=
if [ -n "$wanted" ]; then
    offered=$(apt-cache madison "$package" | awk -F' *[|] *' '{ print $2 }')
    choose
    pin="=$found"
fi
# shellcheck disable=SC2086 # the others are several words
apt install -y --no-install-recommends --no-remove --allow-downgrades "$package$pin" $others
