# Makes the folders of the engine's settings, private before any key is in them, and
# keeps what was there before fleet came.
set -eu
install -d -m 0700 /etc/docker/fleet
install -d -m 0755 /etc/docker
if [ -s /etc/docker/daemon.json ] && [ ! -e /etc/docker/daemon.json.before-fleet ]; then
    cp -p /etc/docker/daemon.json /etc/docker/daemon.json.before-fleet
fi
