# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the lists are for those who source this; $top is theirs
# Shared by ./quickstart and ./check: progress lines, missing packages, the build. Sourced with $top set to the tree.

# What building, running a lab and testing need, as Debian 12 and 13 call it. Of "a|b" any will do that is installed, or
# the first that apt has: Debian 13 has no libssh on libgcrypt (docs/libraries.md).
packages_build=(gcc make autoconf automake pkgconf binutils libsystemd-dev libsqlite3-dev libjansson-dev libyaml-dev
        libgnutls28-dev nettle-dev libmicrohttpd-dev libcurl4-gnutls-dev libnghttp2-dev libprotobuf-c-dev protobuf-c-compiler
        'libssh-gcrypt-dev|libssh-dev' libgit2-dev libnftables-dev libnl-3-dev libnl-route-3-dev libnl-nf-3-dev libwslay-dev
        libcmocka-dev uthash-dev libbsd-dev libxxhash-dev libpcre2-dev libseccomp-dev tzdata libarchive-dev zlib1g-dev
        libzstd-dev)
packages_lab=(systemd systemd-container dbus nftables iproute2 openssh-client openssh-server git perl procps haproxy unbound
        bind9-dnsutils)
packages_check=(btrfs-progs python3-kubernetes python3-grpcio python3-protobuf python3-h2 python3-cryptography openssl jq clang libclang-rt-dev mmdebstrap
        xz-utils docker-registry skopeo busybox-static zstd debhelper dpkg-dev fakeroot lintian chrpath man-db keepalived)

step_number=0 steps=0 step_started=0
# step TEXT: the next progress line; step_done TEXT ends it with what came out.
step() {
        step_number=$((step_number + 1))
        step_started=$SECONDS
        printf '[%d/%d] %s ... ' "$step_number" "$steps" "$1"
}

step_done() {
        local took=$((SECONDS - step_started))
        if (( took > 1 )); then printf '%s (%d s)\n' "${1:-done}" "$took"; else printf '%s\n' "${1:-done}"; fi
}

# fail WHAT REMEDY [LOG]: ends the run, with the end of the log that shows why.
fail() {
        printf 'failed\n\n'
        if [[ ${3:-} && -s $3 ]]; then
                tail -n 25 "$3" | sed 's/^/  | /'
                printf '  (the whole log: %s)\n\n' "$3"
        fi
        printf '%s: %s\n  remedy: %s\n' "${0##*/}" "$1" "$2" >&2
        exit 1
}

# package_missing LIST-ENTRY: neither the package nor one of its alternatives is installed.
package_missing() {
        local p
        for p in ${1//|/ }; do
                [[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) != installed ]] || return 1
        done
}

package_known() {
        local candidate
        candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
        [[ $candidate && $candidate != '(none)' ]]
}

# choose_packages LIST-ENTRY...: sets chosen to a package for each: of alternatives the first that apt knows. Where apt
# knows none, the first, so that its own message names it.
choose_packages() {
        local entry p
        chosen=()
        for entry; do
                for p in ${entry//|/ }; do
                        if [[ $p == "$entry" ]] || package_known "$p"; then break; fi
                        p=
                done
                chosen+=("${p:-${entry%%|*}}")
        done
}

# Packages that start a service when they are installed (sshd, D-Bus) must not do so on this machine for our sake.
# One that was there before is left as it was. Leaves in the caller's chosen what was asked of apt.
apt_install() {
        local log=$1 guard='' status=0
        shift
        if [[ ! -e /usr/sbin/policy-rc.d ]]; then
                printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
                chmod 755 /usr/sbin/policy-rc.d
                guard=1
        fi
        {
                # What apt knows is asked only after the update.
                DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 update &&
                        choose_packages "$@" &&
                        DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 \
                                install --no-install-recommends "${chosen[@]}"
        } >"$log" 2>&1 </dev/null || status=$?
        [[ ! $guard ]] || rm -f /usr/sbin/policy-rc.d
        return $status
}

# install_packages PACKAGE...: installs those that are missing.
install_packages() {
        local missing=() chosen=() p log=$top/build/install.log unasked=()
        command -v apt-get >/dev/null ||
                fail "this is not Debian or one of its relatives (no apt-get)" \
                        "install what configure asks for by hand, then ./autogen.sh && mkdir build && cd build && ../configure && make"
        for p in "$@"; do ! package_missing "$p" || missing+=("$p"); done
        if [[ ${#missing[@]} -eq 0 ]]; then
                step_done "nothing is missing"
                return
        fi
        choose_packages "${missing[@]}"
        [[ $EUID -eq 0 ]] || fail "missing packages: ${chosen[*]}" "sudo apt-get install ${chosen[*]}"
        for p in openssh-server:ssh etcd-server:etcd haproxy:haproxy unbound:unbound docker-registry:docker-registry keepalived:keepalived; do
                ! package_missing "${p%:*}" || unasked+=("${p#*:}.service")
        done
        mkdir -p "$top/build"
        apt_install "$log" "${missing[@]}" ||
                fail "apt-get could not install ${chosen[*]}" "make apt-get update and apt-get install work, then run this again" "$log"
        # The lab's machines and the tests use their programs; this machine did not ask for services.
        for p in "${unasked[@]}"; do
                [[ ! -d /run/systemd/system ]] || systemctl -q disable "$p" >/dev/null 2>&1 || true
        done
        step_done "${#missing[@]} packages"
}

# build_tree DIR CONFIGURE-ARGUMENT...: configures once, then makes what changed.
build_tree() {
        local dir=$1 log=$1/build.log cc=${CC:-} shown
        shift
        mkdir -p "$dir"
        : >"$log"
        if [[ ! $cc ]]; then
                cc=gcc
                ! command -v ccache >/dev/null || cc='ccache gcc'
        fi
        if [[ ! -x $top/configure || $top/configure.ac -nt $top/configure ]]; then
                "$top/autogen.sh" >>"$log" 2>&1 || fail "autogen.sh failed" "see the log; are autoconf and automake whole?" "$log"
        fi
        if [[ ! -e $dir/Makefile || $top/configure -nt $dir/config.status ]]; then
                (cd "$dir" && "$top/configure" "$@" CC="$cc") >>"$log" 2>&1 ||
                        fail "configure failed in $dir" "see the log for what it misses" "$log"
        fi
        show_build "$dir" "$log" &
        shown=$!
        make -C "$dir" -j"$(nproc)" >>"$log" 2>&1 || {
                end_show "$shown"
                fail "the build in $dir failed" "see the log for the first error" "$log"
        }
        end_show "$shown"
}

# show_build DIR LOG: how far a build is, in tenths of the objects that it has to compile; in a process of its own, until
# it is killed or the one that builds ends.
show_build() {
        local total compiled shown=0
        total=$(make -n -C "$1" 2>/dev/null | grep -c 'echo "  CC  ') || true
        (( total >= 20 )) || return 0
        while kill -0 $$ 2>/dev/null; do
                sleep 1
                compiled=$(grep -c '^  CC  ' "$2") || true
                while (( shown < 9 && compiled * 10 >= (shown + 1) * total )); do
                        shown=$((shown + 1))
                        printf '%d0%% ' "$shown"
                done
        done
}

end_show() {
        kill "$1" 2>/dev/null || true
        wait "$1" 2>/dev/null || true
}

# wait_until SECONDS COMMAND...: tries until it succeeds; false when the time is over.
wait_until() {
        local end=$((SECONDS + $1))
        shift
        until "$@"; do
                (( SECONDS < end )) || return 1
                sleep 0.2
        done
}
