#!/bin/sh
# sbom.sh NAME VERSION STAGE <ORIGINS: what a bundle is made of, as an SPDX 2.3 document in JSON. ORIGINS are lines of
# "file in the bundle<TAB>file of this machine that it was copied from". The programs in STAGE/bin are keelson's own; the
# package and version of everything else are dpkg's, where there is dpkg. The same input gives the same bytes: the time
# of the document is $SOURCE_DATE_EPOCH.
set -eu
name=$1 version=$2 stage=$3

# The package that has a file, by its real path or, where /lib is a link to /usr/lib, by the short one.
package_of() {
        real=$(readlink -f "$1") || real=$1
        for file in "$real" "${real#/usr}" "$1" "${1#/usr}"; do
                dpkg-query -S "$file" 2>/dev/null | sed -n '1s/: .*//p' | sed 's/,.*//' | grep . && return
        done
        return 0
}

# Lines: file, package, version, architecture, source package, hash of the file in the bundle ("" for what has none).
describe() {
        while IFS='	' read -r file from; do
                package='' facts=''
                if command -v dpkg-query >/dev/null; then package=$(package_of "$from"); fi
                [ -z "$package" ] || facts=$(dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}' "$package")
                hash=
                [ ! -e "$stage/$file" ] || hash=$(sha256sum <"$stage/$file" | cut -d' ' -f1)
                printf '%s\t%s\t%s\n' "$file" "${facts:-			}" "$hash"
        done
}

programs() {
        for f in "$stage"/bin/*; do printf 'bin/%s\t%s\n' "${f##*/}" "$(sha256sum <"$f" | cut -d' ' -f1)"; done
}

created=$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%dT%H:%M:%SZ)
libraries=$(describe | LC_ALL=C sort)
own=$(programs)
# A name of the document that no other content has.
unique=$(printf '%s\n' "$libraries" "$own" | sha256sum | cut -c1-32)

{
        printf '%s\n' "$own" | sed 's/^/own	/'
        [ -z "$libraries" ] || printf '%s\n' "$libraries" | sed 's/^/lib	/'
} | awk -F '\t' -v name="$name" -v version="$version" -v created="$created" -v unique="$unique" '
function text(s) { gsub(/[\\"]/, "\\\\&", s); return "\"" s "\"" }
function id(s) { gsub(/[^A-Za-z0-9.-]/, "-", s); return s }
function relate(a, how, b) {
        relations = relations (relations ? ",\n" : "") "    {\"spdxElementId\": \"SPDXRef-" a "\", \"relationshipType\": \"" how "\", \"relatedSpdxElement\": \"SPDXRef-" b "\"}"
}
function file(path, hash) {
        files = files (files ? ",\n" : "") "    {\"SPDXID\": \"SPDXRef-File-" id(path) "\", \"fileName\": " text("./" path) \
                ", \"checksums\": [{\"algorithm\": \"SHA256\", \"checksumValue\": \"" hash "\"}], \"licenseConcluded\": \"NOASSERTION\", \"copyrightText\": \"NOASSERTION\"}"
        return "File-" id(path)
}
$1 == "own" { relate("keelson", "CONTAINS", file($2, $3)) }
$1 == "lib" {
        package = $3 == "" ? "file-" $2 : $3
        if (!(package in seen)) {
                seen[package] = 1
                packages = packages ",\n    {\"SPDXID\": \"SPDXRef-Package-" id(package) "\", \"name\": " text(package) \
                        ", \"versionInfo\": " text($4 == "" ? "NOASSERTION" : $4) ", \"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false" \
                        ", \"licenseConcluded\": \"NOASSERTION\", \"licenseDeclared\": \"NOASSERTION\", \"copyrightText\": \"NOASSERTION\""
                if ($6 != "") packages = packages ", \"sourceInfo\": " text("built by Debian from the source package " $6)
                if ($3 != "") {
                        plus = $4; gsub(/\+/, "%2B", plus); gsub(/:/, "%3A", plus)
                        packages = packages ", \"externalRefs\": [{\"referenceCategory\": \"PACKAGE-MANAGER\", \"referenceType\": \"purl\", \"referenceLocator\": " \
                                text("pkg:deb/debian/" $3 "@" plus "?arch=" $5) "}]"
                }
                packages = packages "}"
                relate("keelson", $2 ~ /\.a$/ ? "STATIC_LINK" : "DEPENDS_ON", "Package-" id(package))
        }
        if ($2 !~ /\.a$/) relate("Package-" id(package), "CONTAINS", file($2, $7))
}
END {
        printf "{\n  \"spdxVersion\": \"SPDX-2.3\",\n  \"dataLicense\": \"CC0-1.0\",\n  \"SPDXID\": \"SPDXRef-DOCUMENT\",\n"
        printf "  \"name\": \"keelson-%s-%s\",\n  \"documentNamespace\": \"https://keelson.dev/spdx/%s-%s-%s\",\n", name, version, name, version, unique
        printf "  \"creationInfo\": {\"created\": \"%s\", \"creators\": [\"Tool: keelson units/sbom.sh\"]},\n", created
        printf "  \"packages\": [\n    {\"SPDXID\": \"SPDXRef-keelson\", \"name\": \"keelson-%s\", \"versionInfo\": \"%s\", \"downloadLocation\": \"NOASSERTION\", \"filesAnalyzed\": false", name, version
        printf ", \"licenseConcluded\": \"LGPL-2.1-or-later\", \"licenseDeclared\": \"LGPL-2.1-or-later\", \"copyrightText\": \"NOASSERTION\"}%s\n  ],\n", packages
        printf "  \"files\": [\n%s\n  ],\n  \"relationships\": [\n", files
        printf "    {\"spdxElementId\": \"SPDXRef-DOCUMENT\", \"relationshipType\": \"DESCRIBES\", \"relatedSpdxElement\": \"SPDXRef-keelson\"},\n%s\n  ]\n}\n", relations
}'
