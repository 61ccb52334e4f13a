# shellcheck shell=bash
# Extras of the node's suite: a case that says `# Needs: WORD` gets what need_WORD starts, once a run and on machines that
# may have it already. It says on its last line why it failed; it returns 77 where the extra cannot be had. Variables and
# functions that steps use stand beside it. Sourced after functions.sh.
# shellcheck disable=SC2154 # n1: functions.sh

# --- registry: Debian's docker-registry on n1, without TLS; image tools of our own, because skopeo is another 40 MB

registry=$n1:5000

need_registry() {
        local tool
        for tool in docker-registry:docker-registry busybox:busybox-static; do
                command -v "${tool%%:*}" >/dev/null || { echo "missing here: ${tool##*:}; remedy: apt-get install ${tool##*:}"; return 77; }
        done
        for tool in n1 n2; do registry_is_plain $tool || return 1; done
        ! registry_answers 2>/dev/null || return 0
        # A minimal machine gets this host's program, which needs the C library only.
        run_on n1 <<<'command -v docker-registry >/dev/null' ||
                connect_to n1 'cat >/usr/local/bin/docker-registry && chmod 755 /usr/local/bin/docker-registry' <"$(command -v docker-registry)" || return 1
        run_on n1 <<'END2' || return 1
cat >/etc/lab-registry.yml <<'END3'
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: /var/lib/lab-registry}, delete: {enabled: true}}
http: {addr: ":5000"}
END3
cat >/etc/systemd/system/lab-registry.service <<'END3'
[Service]
ExecStart=docker-registry serve /etc/lab-registry.yml
Restart=always
[Install]
WantedBy=multi-user.target
END3
systemctl -q enable --now lab-registry # also after a power cut
END2
        within 20 registry_answers
}

# The machine asks the registries of the lab (some cases have their own, on other ports) without TLS.
registry_is_plain() {
        local port
        { echo 'registries:'; for port in 5000 5011 5012; do echo "- {match: \"$n1:$port\", http: true}"; done; } |
                connect_to "$1" 'cat >/etc/keelson/registries.yaml'
}

registry_answers() { curl -sf --max-time 3 "http://$registry/v2/" >/dev/null; }

# image_root FOLDER: a root with busybox and its commands.
image_root() {
        mkdir -p "$1"/{bin,etc,tmp,proc,sys,dev,root} || return 1
        chmod 1777 "$1/tmp"
        cp "$(command -v busybox)" "$1/bin/busybox" || return 1
        "$1/bin/busybox" --list | perl -ne 'chomp; BEGIN { $to = shift } chomp; symlink "busybox", "$to/bin/$_" if $_ ne "busybox"' "$1"
        echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
        echo 'root:x:0:' >"$1/etc/group"
}

# blob_push NAME FILE: prints its digest. The registry and the host are in one lab: no chunks.
blob_push() {
        local digest at
        digest=sha256:$(sha256sum "$2" | cut -d' ' -f1)
        at=$(curl -sf -X POST -D - -o /dev/null "http://$registry/v2/$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
        [[ $at ]] || { echo "the registry accepts no upload" >&2; return 1; }
        [[ $at == http* ]] || at=http://$registry$at
        curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$2" "$at$([[ $at == *\?* ]] && echo '&' || echo '?')digest=$digest" >/dev/null || return 1
        echo "$digest"
}

# image_push NAME:TAG FOLDER [CONFIG [docker]]: packs the folder as an image of one layer, with these fields of its config
# (JSON, without braces), as OCI or as Docker's schema 2; prints the manifest's digest.
image_push() {
        local name=${1%:*} tag=${1##*:} folder=$2 config=${3:-'"Cmd":["/bin/sh"]'} work layer diff media=application/vnd.oci.image kind arch
        local manifest=$media.manifest.v1+json config_type=$media.config.v1+json layer_type=$media.layer.v1.tar+gzip
        if [[ ${4:-} == docker ]]; then
                media=application/vnd.docker
                manifest=$media.distribution.manifest.v2+json config_type=$media.container.image.v1+json layer_type=$media.image.rootfs.diff.tar.gzip
        fi
        within 20 registry_answers || return 1
        work=$(mktemp -d "$scratch/push-XXXXXX")
        arch=$(dpkg --print-architecture)
        tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" . || return 1
        diff=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
        gzip -n "$work/layer.tar"
        layer=$(blob_push "$name" "$work/layer.tar.gz") || return 1
        printf '{"architecture":"%s","os":"linux","config":{%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$arch" "$config" "$diff" >"$work/config"
        kind=$(blob_push "$name" "$work/config") || return 1
        printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"%s","size":%d},"layers":[{"mediaType":"%s","digest":"%s","size":%d}]}' \
                "$manifest" "$config_type" "$kind" "$(stat -c %s "$work/config")" "$layer_type" "$layer" "$(stat -c %s "$work/layer.tar.gz")" >"$work/manifest"
        curl -sf -X PUT -H "Content-Type: $manifest" --data-binary "@$work/manifest" "http://$registry/v2/$name/manifests/$tag" >/dev/null || return 1
        echo "sha256:$(sha256sum "$work/manifest" | cut -d' ' -f1)"
        rm -rf "$work"
}
