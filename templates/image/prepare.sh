#!/bin/sh
# Runs in the chroot before the kernel is installed, so that its initrd is made once.
set -eu
for part in hooks/udev scripts/init-top/udev scripts/init-bottom/udev; do
    file=/usr/share/initramfs-tools/$part
    mkdir -p "/usr/lib/fleet/unused/${part%/*}"
    dpkg-divert --quiet --no-rename --divert "/usr/lib/fleet/unused/$part" "$file"
done
