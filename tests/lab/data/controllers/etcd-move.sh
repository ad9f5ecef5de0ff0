# FROM TO: once both controllers run TO, the next start of etcd on controller-0 gives TO a directory of its own.
set -eu
[ -L "/opt/etcd/$2" ] || exit 0
printf "from_release: '%s'\nto_release: '%s'\n" "$1" "$2" > /opt/etcd/.upgrade_etcd
