# Installs with apk: Alpine.
community=community
repositories=/etc/apk/repositories
pk() {
    apk --no-progress --wait 300 "$@"
}
# Small images leave out the repository that the engine is in; it is beside the main one.
if [ -n "$community" ] && ! grep -q "^[^#@].*/$community/*\$" "$repositories"; then
    sed -n "s,^\([^#@].*\)/main/*\$,\1/$community,p" "$repositories" >"$repositories.new"
    cat "$repositories.new" >>"$repositories"
    rm "$repositories.new"
fi
again pk update
pin=
if [ -n "$wanted" ]; then
    offered=$(apk policy "$package" | awk '/^  [^ ].*:$/ { sub(/:$/, ""); print $1 }')
    choose
    pin="=$found"
fi
# shellcheck disable=SC2086 # the others are several words
again pk add "$package$pin" $others
