#compdef kctl
# kctl completion for zsh; load with: source <(kctl completion zsh)
_kctl() {
        local -a found
        found=(${(f)"$(kctl __complete "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)"})
        if (( $#found )); then compadd -a found; else _files; fi
}
compdef _kctl kctl
