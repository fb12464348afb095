# Installs with pacman: Arch and its relatives. The system as a whole is not upgraded,
# although Arch knows no other way: a machine whose engine then lacks a newer library
# needs a newer image.
lock=/var/lib/pacman/db.lck
# A new machine makes its own keys first.
if systemctl cat pacman-init.service >/dev/null 2>&1; then systemctl start pacman-init.service; fi
pac() {
    waited=0
    while [ -e "$lock" ]; do
        if [ "$waited" -ge 300 ]; then
            echo "$lock is there since $waited s: remove it if no pacman runs" >&2
            exit 100
        fi
        sleep 5
        waited=$((waited + 5))
    done
    pacman --noconfirm "$@"
}
again pac -Sy
# The keys of those who packed it may be newer than the image.
if pacman -Si archlinux-keyring >/dev/null 2>&1; then
    again pac -S --needed archlinux-keyring
fi
if [ -n "$wanted" ]; then
    # pacman has one version of each package, and cannot ask for another.
    offered=$(pacman -Si "$package" | awk -F' *: ' '$1 == "Version" { print $2; exit }')
    choose
fi
# shellcheck disable=SC2086 # the others are several words
again pac -S --needed "$package" $others
