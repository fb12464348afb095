# Takes the secrets of the first boot out of cloud-init's own copies.
set -eu
# The next boot comes without the seed and must not be taken for a new machine's.
[ ! -d /etc/cloud ] || touch /etc/cloud/cloud-init.disabled
for file in /var/lib/cloud/instances/*/user-data.txt /var/lib/cloud/instances/*/user-data.txt.i \
    /var/lib/cloud/instances/*/cloud-config.txt; do
    # Later stages of this boot still read them.
    [ ! -f "$file" ] || printf '#cloud-config\n{}\n' >"$file"
done
rm -rf /var/lib/cloud/seed/nocloud /var/lib/cloud/seed/nocloud-net
rm -f /run/cloud-init/instance-data*.json /run/cloud-init/combined-cloud-config.json
# The last stage needs its pickled data source; it may still be running.
last='rm -f /var/lib/cloud/instances/*/obj.pkl /run/cloud-init/instance-data*.json'
# shellcheck disable=SC2016 # for the shell that waits
wait='tries=0
until [ -e /run/cloud-init/result.json ] || [ "$tries" -ge 600 ]; do
    tries=$((tries + 1))
    sleep 1
done'
if [ -e /run/cloud-init/result.json ]; then
    sh -c "$last"
elif systemd-run --quiet --no-block --collect sh -c "$wait; $last" 2>/dev/null; then
    :
elif command -v setsid >/dev/null; then
    setsid sh -c "$wait; $last" >/dev/null 2>&1 &
else
    sh -c "$last"
fi
sync
