# kctl completion for fish; load with: kctl completion fish | source
function __kctl_complete
        set -l words (commandline -opc) (commandline -ct)
        kctl __complete $words[2..-1] 2>/dev/null
end
complete -c kctl -a '(__kctl_complete)'
