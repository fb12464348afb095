# Lets through firewalld what a fleet needs: the engine from everywhere, since it asks for
# a certificate, and the swarm from the lab network alone. Both at once and for good,
# without a reload, which would end what goes on.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
engine=2376
lab=10.77.0.0/24
open() {
    firewall-cmd --quiet "$1"
    firewall-cmd --quiet --permanent "$1"
}
from_lab() {
    open "--add-rich-rule=rule family=ipv4 source address=$lab $1 accept"
}
open "--add-port=$engine/tcp"
for port in "port=2377 protocol=tcp" "port=7946 protocol=tcp" "port=7946 protocol=udp" \
    "port=4789 protocol=udp"; do
    from_lab "port $port"
done
# Overlay networks that are encrypted.
from_lab "protocol value=esp"
