# kctl completion for bash; load with: source <(kctl completion bash)
_kctl() {
        local IFS=$'\n'
        COMPREPLY=($(compgen -W "$(kctl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _kctl kctl
