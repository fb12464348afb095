# Installs with dnf or yum: Fedora, RHEL and their relatives. SELinux stays as it is: the
# packages bring their policy, and files take the label of their folder.
repository=https://docker.example/linux/centos
release=9
extras=''
manager=yum
if command -v dnf >/dev/null; then manager=dnf; fi
pkg() {
    # It waits for another one by itself; the newest dnf fails where that one is already
    # writing, which is tried again.
    "$manager" -y --setopt=timeout=30 --setopt=retries=3 "$@"
}
if [ -n "$repository" ] && [ ! -e /etc/yum.repos.d/docker-ce.repo ]; then
    # The name and section of Docker's own file, so that theirs may take its place.
    umask 022
    cat >/etc/yum.repos.d/docker-ce.repo.new <<END
[docker-ce-stable]
name=Docker CE Stable - \$basearch
baseurl=$repository/$release/\$basearch/stable
enabled=1
gpgcheck=1
gpgkey=$repository/gpg
END
    mv /etc/yum.repos.d/docker-ce.repo.new /etc/yum.repos.d/docker-ce.repo
fi
if [ -n "$extras" ] && command -v amazon-linux-extras >/dev/null; then
    amazon-linux-extras enable "$extras" >/dev/null
fi
again pkg makecache
pin=
if [ -n "$wanted" ]; then
    # Long names make yum break its lines, so words are read: `NAME.ARCH VERSION REPOSITORY`.
    offered=$("$manager" -q list --showduplicates "$package" | awk -v name="$package." '
        { for (i = 1; i <= NF; i++) word[n++] = $i }
        END { for (i = 0; i < n; i++) if (index(word[i], name) == 1) print word[i + 1] }' | sort -rV)
    choose
    pin="-${found#*:}"
fi
# shellcheck disable=SC2086 # the others are several words
again pkg install "$package$pin" $others
if [ -n "$pin" ] && ! rpm -q "$package$pin" >/dev/null; then
    # yum's `install` keeps a newer one that is there.
    again pkg downgrade "$package$pin"
fi
