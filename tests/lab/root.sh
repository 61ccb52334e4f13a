# shellcheck shell=bash
# Debian roots made with mmdebstrap and kept in a cache: the lab's machines start from them, and builds on another release.
# Sourced. $KEELSON_LAB_CACHE is the cache.
root_cache=${KEELSON_LAB_CACHE:-/var/cache/keelson-lab}
root_timeout_s=600

# shellcheck source=/dev/null
host_suite=$(. /etc/os-release && [[ ${ID:-} == debian ]] && echo "${VERSION_CODENAME:-}") || true
host_suite=${host_suite:-bookworm}
# The release beside it: keelson supports both.
other_suite=trixie
[[ $host_suite != trixie ]] || other_suite=bookworm

# Where this host gets SUITE from: its mirror for that release, else the one of its own release. Nothing when it has
# none of Debian's.
root_mirror() {
        local suite
        for suite in "$1" "$host_suite"; do
                # shellcheck disable=SC2016 # apt-get fills it in
                apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" 'Component: main' 'Created-By: Packages' \
                        2>/dev/null | head -n 1 | grep . && return
        done
        return 0
}

# root_bootstrap SUITE PACKAGES DIR [MMDEBSTRAP-OPTION...]: a new root. What it says goes to standard error.
root_bootstrap() {
        local suite=$1 packages=$2 dir=$3 mirror make
        shift 3
        mirror=$(root_mirror "$suite")
        if command -v mmdebstrap >/dev/null; then
                make=(mmdebstrap --variant=minbase --skip=check/empty --include="$packages" "$@" "$suite" "$dir")
        elif command -v debootstrap >/dev/null && [[ $# -eq 0 ]]; then
                make=(debootstrap --variant=minbase --include="$packages" "$suite" "$dir")
        else
                echo "needs mmdebstrap; remedy: apt-get install mmdebstrap" >&2
                return 1
        fi
        [[ -z $mirror ]] || make+=("$mirror")
        # Its own mount namespace: what a killed run had mounted goes with it.
        timeout -k 10 $root_timeout_s unshare --mount "${make[@]}" >&2 </dev/null
}

# root_path NAME SUITE PACKAGES [MORE]: where the root is kept; its content follows from these words.
root_path() {
        local key
        key=$(sha256sum <<<"$2 $3${4:+ $4} $(dpkg --print-architecture) 1" | cut -c1-12)
        echo "$root_cache/$1-$key"
}

root_cached() { [[ -e $(root_path "$@")/.complete ]]; }

# root_make NAME SUITE PACKAGES [MORE [MMDEBSTRAP-OPTION...]]: makes the root unless the cache has it, and prints its path.
# MORE says what the options add. Roots of that name that nobody has used for two weeks go: the packages have changed.
root_make() {
        local name=$1 suite=$2 packages=$3 more=${4:-} target new log
        shift $(( $# < 4 ? $# : 4 ))
        target=$(root_path "$name" "$suite" "$packages" "$more")
        log=$root_cache/$name.log
        mkdir -p "$root_cache"
        exec 8>"$root_cache/.lock"
        flock -w $root_timeout_s 8 || {
                echo "${0##*/}: another run has been making $target for $root_timeout_s s" >&2
                return 1
        }
        if [[ ! -e $target/.complete ]]; then
                rm -rf "$target" "$root_cache"/.new-*
                find "$root_cache" -mindepth 2 -maxdepth 2 -path "$root_cache/$name-*/.complete" -mtime +14 -printf '%h\0' |
                        xargs -0r rm -rf
                new=$root_cache/.new-$$
                # shellcheck disable=SC2064 # now
                trap "rm -rf '$new'" EXIT
                echo "lab: making a root of Debian's $suite ($target; about half a minute, once)" >&2
                if ! root_bootstrap "$suite" "$packages" "$new" "$@" 2>"$log" 8>&-; then
                        tail -n 15 "$log" >&2
                        echo "${0##*/}: could not make a root of $suite (whole log: $log); remedy: check that apt-get update works" >&2
                        return 1
                fi
                touch "$new/.complete"
                mv "$new" "$target"
                trap - EXIT
        fi
        touch "$target/.complete"
        exec 8>&-
        echo "$target"
}
