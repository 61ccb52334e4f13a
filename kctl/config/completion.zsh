#compdef kctl
# kctl completion for zsh; load with: source <(kctl completion zsh)
_kctl() {
        local -a found
        found=(${(f)"$(kctl __complete "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)"})
        if (( $#found )); then compadd -a found; else _files; fi
}
# Sourced, it registers itself; found in fpath, this file is the function.
if [[ $funcstack[1] == _kctl ]]; then _kctl "$@"; else compdef _kctl kctl; fi
