#!/bin/sh
# bundle.sh OUT VERSION UNITS PROGRAM...: packs the bundle that `kctl` copies to a machine and unpacks into /opt/keelson.
# bin/ has stripped copies of the programs, lib/ every shared library they need, except libc's and libsystemd (with its
# own dependencies): those come from the machine. The programs find lib/ by their DT_RPATH. UNITS is a folder whose
# keelson-PROGRAM.service goes into units/ (the agent's program is knodeagent, its unit keelson-nodeagent), and the
# files of users (*.conf) with them.
# $UNBOUND, where it is set, is the name server of the nodes: a copy goes into lib/, with the libraries that it needs.
# $SBOM, where it is set, is the script that lists the libraries with their packages in sbom.spdx.json, and $STATIC names
# archives (*.a) whose code is in the programs.
# $FORMATS, where it is set, is the header with the formats of what the daemons keep (lib/formats.h): FORMATS has them as
# lines of "name number".
# $STRIP and $READELF name the tools. The same input gives the same bytes.
set -eu
out=$1 version=$2 units=$3
shift 3
stage=$out.d
rm -rf "$stage"
trap 'rm -rf "$stage" "$out.new" "$out.origins"' EXIT
trap 'exit 1' INT TERM HUP
mkdir -p "$stage/bin" "$stage/lib" "$stage/units"

of_the_machine() {
        case $1 in
        ld-linux*.so* | libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so* | libutil.so* | libresolv.so* | \
                libanl.so* | libnsl.so* | libgcc_s.so* | libsystemd.so* | linux-vdso.so*) return 0 ;;
        esac
        return 1
}

# Copies the libraries that file $1 names, and theirs, as ldd found them (map: lines "name path").
copy_libraries() {
        for needed in $("${READELF:-readelf}" -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'); do
                if of_the_machine "$needed" || [ -e "$stage/lib/$needed" ]; then continue; fi
                path=$(awk -v n="$needed" '$1 == n { print $2; exit }' "$map")
                [ -n "$path" ] || { echo "bundle.sh: cannot find $needed, which $1 needs" >&2; exit 1; }
                cp -L "$path" "$stage/lib/$needed"
                printf 'lib/%s\t%s\n' "$needed" "$path" >>"$origins"
                copy_libraries "$stage/lib/$needed"
        done
}

map=$stage/map origins=$stage/origins
: >"$origins"
for program in "$@"; do
        name=${program##*/}
        cp "$program" "$stage/bin/$name"
        ldd "$program" 2>&1 | awk '$2 == "=>" && $3 ~ "^/" { print $1, $3 }' >"$map"
        copy_libraries "$program"
        unit=$units/keelson-$name.service
        [ "$name" != knodeagent ] || unit=$units/keelson-nodeagent.service
        [ ! -e "$unit" ] || cp "$unit" "$stage/units/"
done
if [ -n "${UNBOUND:-}" ]; then
        cp -L "$UNBOUND" "$stage/lib/unbound"
        printf 'lib/unbound\t%s\n' "$UNBOUND" >>"$origins"
        ldd "$UNBOUND" 2>&1 | awk '$2 == "=>" && $3 ~ "^/" { print $1, $3 }' >"$map"
        copy_libraries "$UNBOUND"
fi
[ ! -e "$stage/bin/kctl" ] || for timer in "$units"/*.timer; do cp "$timer" "${timer%.timer}.service" "$stage/units/"; done
for accounts in "$units"/*.conf; do [ ! -e "$accounts" ] || cp "$accounts" "$stage/units/"; done
for archive in ${STATIC:-}; do printf '%s\t%s\n' "${archive##*/}" "$archive" >>"$origins"; done
rm -f "$map"
mv "$origins" "$out.origins"
find "$stage/bin" "$stage/lib" -type f -exec "${STRIP:-strip}" --strip-unneeded {} +
find "$stage" -type f -exec chmod 644 {} +
find "$stage/bin" -type f -exec chmod 755 {} +
[ -z "${UNBOUND:-}" ] || chmod 755 "$stage/lib/unbound"
echo "$version" >"$stage/VERSION"
formats=
if [ -n "${FORMATS:-}" ]; then
        formats=FORMATS
        sed -n 's/^ *FORMAT_\([A-Z_]*\) = \([0-9]*\),.*/\1 \2/p' "$FORMATS" | tr A-Z_ a-z- >"$stage/FORMATS"
fi
name=${out##*/} name=${name%.tar.gz} sbom=
if [ -n "${SBOM:-}" ]; then
        sbom=sbom.spdx.json
        sh "$SBOM" "$name" "$version" "$stage" <"$out.origins" >"$stage/$sbom"
fi
# shellcheck disable=SC2086 # $formats and $sbom may be nothing
tar -C "$stage" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - VERSION $formats bin lib units $sbom | gzip -6n >"$out.new"
mv "$out.new" "$out"
