# How every installation ends: the engine starts with the system, and the account may use
# it without `sudo`.
init=systemd
user=fleet
case $init in
    openrc) rc-update add docker default ;;
    *) systemctl enable docker.service ;;
esac
if [ -n "$user" ]; then
    if command -v usermod >/dev/null; then
        usermod -aG docker "$user"
    else
        addgroup "$user" docker
    fi
fi
