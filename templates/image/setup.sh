#!/bin/sh
# Runs in the chroot, after all packages are there: makes the image lean and leaves
# nothing in it that two machines must not share.
set -eu

# --- cloud-init ------------------------------------------------------------------
# Whether there is a seed is known; the generator need not search for one.
mkdir -p /etc/systemd/system-generators
ln -sf /dev/null /etc/systemd/system-generators/cloud-init-generator
if [ -e /lib/systemd/system/cloud-init-main.service ]; then
    # cloud-init 24.3 and later has a process for all stages of its own.
    rm -r /usr/lib/fleet/first-boot /etc/systemd/system/fleet-first-boot.service \
        /etc/systemd/system/cloud-final.service.d
else
    for unit in cloud-init-local cloud-init cloud-config; do
        ln -sf /dev/null "/etc/systemd/system/$unit.service"
    done
    systemctl enable fleet-first-boot.service
    # Each stage reads all settings anew, so what repeats or explains is left out.
    python3 -c '
import yaml
path = "/etc/cloud/cloud.cfg"
with open(path) as file:
    settings = yaml.safe_load(file)
for stage in "init", "config", "final":
    settings.pop(f"cloud_{stage}_modules", None)
with open(path, "w") as file:
    yaml.safe_dump(settings, file)'
    rm -f /etc/cloud/cloud.cfg.d/05_logging.cfg
fi
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf /lib/systemd/system/cloud-init.target /etc/systemd/system/multi-user.target.wants/

# --- services --------------------------------------------------------------------
systemctl enable fleet-grow.service systemd-networkd.service ssh.service
for unit in \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer man-db.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer motd-news.timer \
    cloud-init-hotplugd.socket \
    systemd-pstore.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
    systemd-network-generator.service systemd-hwdb-update.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount \
    systemd-fsckd.socket systemd-initctl.socket systemd-update-utmp.service \
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service \
    modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service \
    remote-fs.target getty@tty1.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
for generator in cryptsetup debug gpt-auto hibernate-resume integritysetup rc-local \
    run system-update sysv veritysetup; do
    ln -sf /dev/null "/etc/systemd/system-generators/systemd-$generator-generator"
done

# --- settings --------------------------------------------------------------------
echo 'LANG=C.UTF-8' >/etc/default/locale
# Profiles of programs that are not here take seconds to load; the engine brings its
# own.
find /etc/apparmor.d -maxdepth 1 -type f ! -name unprivileged_userns -delete
# No message of the day and no mailbox is looked for at each login.
# A login by SSH needs no user manager either, which takes a second to start.
sed -i '/pam_motd\.so/d; /pam_mail\.so/d' /etc/pam.d/sshd /etc/pam.d/login
sed -i 's/^@include common-session$/@include common-session-noninteractive/' /etc/pam.d/sshd
# The engine calls `iptables` dozens of times when it starts; the older back end
# answers each in half the time.
for tool in iptables ip6tables; do
    update-alternatives --set $tool /usr/sbin/$tool-legacy
done

# --- nothing that two machines must not share --------------------------------------
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -f /var/lib/systemd/random-seed /etc/hostname /etc/resolv.conf
ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old
rm -rf /var/log/*.log /var/log/apt /usr/share/doc/* /usr/share/man/* /usr/share/info/*
# The host's way to the mirrors stays, its proxies do not: they may need a password.
[ ! -e /etc/apt/apt.conf.d/99mmdebstrap ] ||
    sed -i '/^Acquire::https\{0,1\}::Proxy/d' /etc/apt/apt.conf.d/99mmdebstrap
rm -rf /fleet-image
