# Installs the bundle on standard input; $1 is its name, $2 its hash, $3 the id of the upgrade that it is part of
# (nothing: of none). The new files are tried beside the old ones and moved in place only when all their programs run
# there: an agent that works is not replaced by one that cannot. Exit status 75: a program does not run.
# An upgrade keeps the files that it replaces, as links, in .previous-NAME (put-back.sh). One that continues keeps those
# of its beginning.
set -e
name=$1 hash=$2 upgrade=$3
previous=.previous-$name

keep() {
        test "$(cat $previous/ID 2>/dev/null)" != "$upgrade" || return 0
        rm -rf $previous $previous.new
        for d in bin lib units; do
                mkdir -p $previous.new/$d
                for f in .new/$d/*; do
                        f=$d/${f##*/}
                        test ! -f "$f" || ln "$f" $previous.new/$d/
                done
        done
        for f in .$name .$name.version .$name.formats VERSION; do test ! -f $f || cp -p $f $previous.new/; done
        if test "$name" = control; then
                chmod 0700 $previous.new
                mkdir -p $previous.new/etc/pki
                (cd /etc/keelson && for f in *.yaml pki/*.kubeconfig; do
                        test ! -f "$f" || cp -p "$f" "/opt/keelson/$previous.new/etc/$f"
                done)
        fi
        echo "$upgrade" >$previous.new/ID
        chmod 0700 $previous.new
        mv $previous.new $previous
}

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
if test "$upgrade"; then keep; else rm -rf $previous; fi
rm -f ".$name" ".back-$name"
for d in bin lib units; do
        mkdir -p $d
        mv -f .new/$d/* $d/
done
cp -p .new/VERSION ".$name.version"
mv -f .new/VERSION .
if test -e .new/FORMATS; then mv -f .new/FORMATS ".$name.formats"; else rm -f ".$name.formats"; fi
test ! -e .new/sbom.spdx.json || mv -f .new/sbom.spdx.json "$name.spdx.json"
rm -rf .new
echo "$hash" >".$name"
