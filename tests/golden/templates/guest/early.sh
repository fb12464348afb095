# Before the engine's first start: puts fleet's settings into daemon.json, keeping
# what the image has there. The folder is private before any key is written to it.
(
    set -eu
    umask 077
    own='{
  "labels": ["it'\''s"]
}'
    # Only systemd hands over a socket.
    if [ -d /run/openrc ]; then own='{
  "hosts": ["unix:///var/run/docker.sock"]
}'; fi
    install -d -m 0700 /etc/docker/fleet
    printf '%s\n' "$own" >/etc/docker/fleet/daemon.json
    if [ -s /etc/docker/daemon.json ]; then
        [ -e /etc/docker/daemon.json.before-fleet ] ||
            cp -p /etc/docker/daemon.json /etc/docker/daemon.json.before-fleet
        python3 -c 'import json, os
path = "/etc/docker/daemon.json"
merged = json.load(open(path))
merged.update(json.load(open("/etc/docker/fleet/daemon.json")))
with open(path + ".new", "w") as file:
    json.dump(merged, file, indent=2)
os.replace(path + ".new", path)'
    else
        cp /etc/docker/fleet/daemon.json /etc/docker/daemon.json
    fi
    umask 022
    if [ -d /run/openrc ]; then
        if ! grep -qs /etc/docker/fleet/environment /etc/conf.d/docker; then
            printf '%s' '
# it'\''s
. /etc/docker/fleet/environment
' >>/etc/conf.d/docker
        fi
    else
        mkdir -p /etc/systemd/system/docker.service.d
        printf '%s' '[Service]
ExecStart=
' >/etc/systemd/system/docker.service.d/10-fleet.conf
        # systemd read the engine's unit when this boot began.
        if command -v dockerd >/dev/null; then systemctl daemon-reload; fi
    fi
)
