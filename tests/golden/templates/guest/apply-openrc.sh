# Lets the engine run with the settings that have just been written, where OpenRC starts
# it.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
if ! command -v dockerd >/dev/null; then
    echo "there is no engine in the machine" >&2
    exit 1
fi
if ! grep -qs /etc/docker/fleet/environment /etc/conf.d/docker; then
    printf '%s' '
. /etc/docker/fleet/environment
' >>/etc/conf.d/docker || exit 1
fi
rc-update add docker default >/dev/null 2>&1 || true
log=/var/log/docker.log
old=0
if [ -f "$log" ]; then old=$(wc -l <"$log"); fi
said() {
    if [ -f "$log" ]; then tail -n "+$((old + 1))" "$log"; fi
}
fails() {
    echo "the engine does not start; it says:" >&2
    said | tail -n 20 >&2
    exit 1
}
rc-service docker restart || fails
# OpenRC does not wait until the engine is ready, and starts one that fails again and
# again. An engine that says nothing is waited for from outside.
tries=0
until said | grep -q 'API listen on'; do
    if said | grep -qE 'failed to (start daemon|load listeners)|unable to configure'; then fails; fi
    tries=$((tries + 1))
    if [ "$tries" -ge 60 ]; then break; fi
    sleep 1
done
