# Installs the bundle on standard input; $1 is its name, $2 its hash. The new files are tried beside the
# old ones and moved in place only when all their programs run there: an agent that works is not
# replaced by one that cannot. Exit status 75: a program does not run.
set -e
mkdir -p /opt/keelson
cd /opt/keelson
rm -rf .new
mkdir .new
tar -xzf - -C .new --no-same-owner
for f in .new/bin/*; do
        if ! "$f" --version >/dev/null; then
                cd /
                rm -rf /opt/keelson/.new
                rmdir /opt/keelson 2>/dev/null || :
                exit 75
        fi
done
rm -f ".$1"
for d in bin lib units; do
        mkdir -p $d
        mv -f .new/$d/* $d/
done
mv -f .new/VERSION .
test ! -e .new/sbom.spdx.json || mv -f .new/sbom.spdx.json "$1.spdx.json"
rm -rf .new
echo "$2" >".$1"
