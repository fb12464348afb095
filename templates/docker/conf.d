
# Added by fleet: the engine's environment. Its options are in /etc/docker/daemon.json.
if [ -r /etc/docker/fleet/environment ]; then
    set -a
    . /etc/docker/fleet/environment
    set +a
fi
