# Puts the files back that the upgrade $2 replaced when it installed the bundle $1 (unpack.sh). Prints "nothing" when
# none are kept of it: it did not get here, or they are back already. An interrupted run is continued by the next.
set -e
name=$1 upgrade=$2
cd /opt/keelson
previous=.previous-$name
if test "$(cat $previous/ID 2>/dev/null)" != "$upgrade"; then
        echo nothing
        exit 0
fi
rm -f .$name .$name.version .$name.formats
for d in bin lib units; do
        for f in $previous/$d/*; do test ! -f "$f" || mv -f "$f" $d/; done
done
# Configuration that the upgrade changed and nobody else since.
for f in $previous/etc/*.yaml $previous/etc/pki/*.kubeconfig; do
        test -f "$f" || continue
        name_there=${f#"$previous/etc/"}
        now=/etc/keelson/$name_there
        if cmp -s "$now" "$previous/etc-after/$name_there"; then
                cp -p "$f" "$now.new"
                mv "$now.new" "$now"
        fi
done
for f in VERSION .$name.version .$name.formats .$name; do test ! -f $previous/$f || cp -p $previous/$f .; done
echo "$upgrade" >.back-$name
rm -rf $previous
