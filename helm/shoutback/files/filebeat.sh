# What the sidecar runs. Filebeat's failures are not the replica's: one whose container ends makes its pod unready, and would take
# it away from callers who want no logs. So it is started again in here.
#
# SIGTERM comes as soon as the service has ended, and at it Filebeat stops reading, whatever it has not seen yet. So it is passed on
# late. A preStop hook would not do: kubelet runs it when the pod's end begins, and not when the sidecar's turn has come.
stopping=
trap 'stopping=1; sleep "$LINGER"; kill -TERM "$!" 2>/dev/null' TERM

until [[ $stopping ]]; do
    filebeat -e -c /etc/shoutback-filebeat/filebeat.yml --strict.perms=false &
    # In case it came before there was anything to pass it on to.
    [[ $stopping ]] && kill -TERM "$!"
    wait "$!"
    code=$?
    if [[ ! $stopping ]]; then
        echo "filebeat ended with $code, and is started again in 10 s" >&2
        sleep 10 &
        wait "$!"
    fi
done
# The signal ended that wait, and not Filebeat.
wait
