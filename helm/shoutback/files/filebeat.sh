# The command of the sidecar. A failure of Filebeat must not affect the replica: a terminated container makes its pod unready, which
# would remove it from the Service. So this script restarts Filebeat.
#
# SIGTERM arrives as soon as the service has ended, and makes Filebeat stop reading before it has read everything. So it is forwarded
# with a delay. A preStop hook does not help: kubelet runs it when the pod's termination starts, not when the sidecar's does.
stopping=
trap 'stopping=1; sleep "$LINGER"; kill -TERM "$!" 2>/dev/null' TERM

until [[ $stopping ]]; do
    filebeat -e -c /etc/shoutback-filebeat/filebeat.yml --strict.perms=false &
    # The signal may arrive before Filebeat runs.
    [[ $stopping ]] && kill -TERM "$!"
    wait "$!"
    code=$?
    if [[ ! $stopping ]]; then
        echo "filebeat ended with $code; restarting in 10 s" >&2
        sleep 10 &
        wait "$!"
    fi
done
# The signal interrupted `wait`, not Filebeat.
wait
