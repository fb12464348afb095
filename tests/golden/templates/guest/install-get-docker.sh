# Installs the engine with Docker's official script.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
user=fleet
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if command -v curl >/dev/null; then
    curl -fsSL --proto '=https' --connect-timeout 30 --retry 2 -o "$dir/get-docker.sh" https://docker.example
elif command -v wget >/dev/null; then
    wget -q --https-only --timeout=30 --tries=3 -O "$dir/get-docker.sh" https://docker.example
else
    echo "neither curl nor wget is in the machine to fetch the script with" >&2
    exit 1
fi
VERSION=''
export VERSION
sh "$dir/get-docker.sh"
if [ -n "$user" ]; then
    if command -v usermod >/dev/null; then
        usermod -aG docker "$user"
    else
        addgroup "$user" docker
    fi
fi
