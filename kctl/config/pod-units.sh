# The units of pods that run, each with the id of its run: "UNIT ID". Another id is another run.
systemctl show -p Id -p InvocationID -p SubState 'kpod-*.service' 2>/dev/null |
        awk -F= '$1 == "Id" { id = $2 } $1 == "InvocationID" { run = $2 } $1 == "SubState" { state = $2 }
                $0 == "" { if (state == "running") print id " " run; state = "" } END { if (state == "running") print id " " run }'
