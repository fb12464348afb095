# Says everything that fleet wants to know of a guest, each thing as its name, the
# number of its bytes, a line's end, and the bytes.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
say() {
    printf '%s %d\n%s\n' "$1" "$(printf '%s' "$2" | wc -c)" "$2"
}
file() {
    [ ! -f "$2" ] || say "$1" "$(cat "$2")"
}
say fleet-facts 1
if [ -f /etc/os-release ]; then file os /etc/os-release; else file os /usr/lib/os-release; fi
say kernel "$(uname -r)"
say arch "$(uname -m)"
dockerd=$(command -v dockerd || true)
if [ -n "$dockerd" ]; then
    say dockerd "$dockerd"
    say version "$("$dockerd" --version 2>/dev/null || true)"
fi
file daemon /etc/docker/daemon.json
file own /etc/docker/fleet/daemon.json
if [ -d /run/systemd/system ]; then
    say unit "$(systemctl show --property=LoadState,ActiveState,UnitFileState docker.service 2>/dev/null)"
fi
if ! command -v cloud-init >/dev/null || [ ! -e /run/cloud-init ]; then
    say first-boot none
elif [ -e /run/cloud-init/result.json ]; then
    say first-boot done
else
    say first-boot running
fi
say end ''
