# shellcheck shell=bash
# What the scripts know of this computer: how to speak to its user, who may install
# packages, where programs go, and which Rust is used. Sourced, never run.

# Administration programs are outside a Debian user's PATH.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }
headline() { printf '\n==> %s\n' "$*" >&2; }

# Ends the script: what is wrong, then lines that say what to do.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    if [ $# -gt 0 ]; then printf '       %s\n' "$@" >&2; fi
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root, through sudo if need be.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo -- "$@"
    else
        die "this needs root, and there is no sudo: $*" \
            "Run it as root, or install sudo, then start again."
    fi
}

# The folder for programs: PREFIX/bin, else /usr/local/bin for root, else
# ~/.local/bin if the user's PATH has it, else /usr/local/bin through sudo.
bin_dir() {
    if [ -n "${PREFIX:-}" ]; then
        printf '%s/bin\n' "$PREFIX"
    elif [ "$(id -u)" -eq 0 ]; then
        echo /usr/local/bin
    elif in_path "$HOME/.local/bin" || ! have sudo; then
        printf '%s/.local/bin\n' "$HOME"
    else
        echo /usr/local/bin
    fi
}

in_path() {
    case ":$PATH:" in
        *":$1:"*) true ;;
        *) false ;;
    esac
}

# Copies a program into the folder for programs, as root only where that is needed.
install_program() { # FILE NAME FOLDER
    local target="$3/$2" run=()
    if cmp -s "$1" "$target"; then
        say "$target is up to date."
        return
    fi
    if ! mkdir -p "$3" 2>/dev/null || [ ! -w "$3" ]; then run=(as_root); fi
    "${run[@]}" mkdir -p "$3"
    "${run[@]}" install -m 755 "$1" "$target"
    say "installed $target"
    if ! in_path "$3"; then say "note: $3 is not in your PATH; add it."; fi
}

# The oldest Rust that Cargo.toml accepts.
oldest_rust() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml; }

# Whether version $1 is at least version $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# Prints the version of the Rust compiler in use; fails if there is none.
rust_version() {
    local version
    version=$(rustc --version 2>/dev/null) || return 1
    cargo --version >/dev/null 2>&1 || return 1
    version=${version#rustc }
    printf '%s\n' "${version%%[ -]*}"
}

# Chooses the Rust for this repository: what the PATH has, else ~/.cargo/bin, else
# rustup's `stable` if the chosen toolchain is too old. Fails if there is none.
find_rust() {
    local version wanted
    wanted=$(oldest_rust)
    if ! have cargo || ! have rustc; then
        PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    fi
    if version=$(rust_version) && at_least "$version" "$wanted"; then return 0; fi
    have rustup || return 1
    version=$(RUSTUP_TOOLCHAIN=stable rust_version) && at_least "$version" "$wanted" || return 1
    export RUSTUP_TOOLCHAIN=stable
}
