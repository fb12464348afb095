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
# What OpenRC knows of the engine, in the words of systemd.
openrc_unit() {
    if [ ! -e /etc/init.d/docker ]; then
        printf 'LoadState=not-found\nActiveState=inactive\nUnitFileState='
        return
    fi
    active=inactive
    case "$(rc-service docker status 2>&1)" in
        *started*) active=active ;;
        *starting*) active=activating ;;
        *crashed*) active=failed ;;
    esac
    enabled=disabled
    for level in /etc/runlevels/*/docker; do
        if [ -e "$level" ]; then enabled=enabled; fi
    done
    printf 'LoadState=loaded\nActiveState=%s\nUnitFileState=%s' "$active" "$enabled"
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
    say init systemd
    say unit "$(systemctl show --property=LoadState,ActiveState,UnitFileState docker.service 2>/dev/null)"
    # Who does not want its socket unit is not handed a socket.
    case "$(systemctl show --property=Requires,Wants docker.service 2>/dev/null)" in
        *docker.socket*) ;;
        *) say socket own ;;
    esac
elif [ -d /run/openrc ]; then
    say init openrc
    say socket own
    say unit "$(openrc_unit)"
fi
if command -v firewall-cmd >/dev/null && firewall-cmd --state >/dev/null 2>&1; then
    say firewall firewalld
fi
if ! command -v cloud-init >/dev/null || [ ! -e /run/cloud-init ]; then
    say first-boot none
elif [ -e /run/cloud-init/result.json ]; then
    say first-boot 'done'
else
    say first-boot running
fi
say end ''
