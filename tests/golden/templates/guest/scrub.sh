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
rm_pickle='rm -f /var/lib/cloud/instances/*/obj.pkl /run/cloud-init/instance-data*.json'
case $(systemctl is-active cloud-final.service 2>/dev/null || true) in
active | failed) sh -c "$rm_pickle" ;;
*)
    systemd-run --quiet --no-block --collect --property=Type=oneshot \
        --property=After=cloud-final.service sh -c "$rm_pickle" 2>/dev/null || sh -c "$rm_pickle"
    ;;
esac
sync
