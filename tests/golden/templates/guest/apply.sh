# Lets the engine run with the settings that have just been written.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
if ! command -v dockerd >/dev/null; then
    echo "there is no engine in the machine" >&2
    exit 1
fi
systemctl daemon-reload || exit 1
systemctl enable docker.service >/dev/null 2>&1 || true
# An engine that failed a few times in a row would not be started again.
systemctl reset-failed docker.service docker.socket >/dev/null 2>&1 || true
if ! systemctl restart docker.service; then
    echo "the engine does not start; it says:" >&2
    journalctl --unit=docker.service --no-pager --lines=20 --output=cat >&2
    exit 1
fi
