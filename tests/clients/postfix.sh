# A message by Postfix's own smtp(8), from an instance of its own:
# DIRECTORY HOST PORT CERTIFICATE KEY WRAPPERMODE(yes|no).
set -eu
conf=$1/conf
spool=$1/spool
daemons=$(postconf -dh daemon_directory)
mkdir -p "$conf" "$spool" "$1/data"
chown postfix "$1/data"
cat >"$conf/main.cf" <<END
compatibility_level = 3.6
queue_directory = $spool
data_directory = $1/data
daemon_directory = $daemons
maillog_file = $1/maillog
maillog_file_prefixes = $1
syslog_name = client
myhostname = client.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
relayhost = [$2]:$3
transport_maps = inline:{ { a@sender.test = discard: } }
smtp_host_lookup = native
smtp_tls_security_level = encrypt
smtp_tls_wrappermode = $6
smtp_tls_cert_file = $4
smtp_tls_key_file = $5
smtp_connection_cache_on_demand = no
smtp_tls_session_cache_database =
in_flow_delay = 0s
END
cat >"$conf/master.cf" <<END
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
END
cd "$spool"
own='active bounce corrupt defer deferred flush hold incoming private saved trace'
mkdir pid maildrop public $own
chmod 700 $own
chown postfix $own
chown postfix:postdrop maildrop public
chmod 730 maildrop
chmod 710 public
until_it() {
    for _ in $(seq 300); do
        if "$@" 2>/dev/null; then return; fi
        sleep 0.1
    done
}
setsid "$daemons/master" -c "$conf" -d >/dev/null 2>&1 &
master=$!
# The shell would say that it was terminated.
trap 'exec 2>/dev/null; kill $master; wait $master || :' EXIT
until_it test -S public/pickup
printf 'Subject: six\n\nbody\n' |
    MAIL_CONFIG=$conf sendmail -C "$conf" -f a@sender.test far@away.test
until_it grep -q 'status=' "$1/maillog"
sed -n 's/.*to=<far@away.test>.*\(dsn=.* status=.*\)/\1/p' "$1/maillog" | sed 's/delays=[^,]*,//; s/queued as [0-9A-F]*/queued/'
