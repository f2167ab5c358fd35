# A message by Exim's smtp transport: DIRECTORY HOST PORT CERTIFICATE KEY smtp|smtps|auth.
# $EXIM is the program.
set -eu
protocol=$6
auth=:
if [ "$6" = auth ]; then
    protocol=smtp
    auth='*'
fi
# Exim reads the key without root's rights.
chmod 755 "$1"
cp "$4" "$1/cert.pem"
cp "$5" "$1/cert.key"
mkdir -p "$1/spool"
chown -R 61999:61999 "$1"
cat >"$1/exim.conf" <<END
exim_path = $EXIM
spool_directory = $1/spool
log_file_path = $1/%slog
primary_hostname = client.test
keep_environment =
never_users =
tls_advertise_hosts =
begin routers
bounces:
  driver = redirect
  condition = \${if eq{\$sender_address}{}}
  data = :blackhole:
there:
  driver = manualroute
  route_list = * $2 byname
  self = send
  transport = there
begin transports
there:
  driver = smtp
  port = $3
  protocol = $protocol
  helo_data = client.test
  hosts_require_tls = *
  hosts_require_auth = $auth
  hosts_try_dane =
  tls_certificate = $1/cert.pem
  tls_privatekey = $1/cert.key
  tls_verify_hosts = !*
  tls_try_verify_hosts = !*
begin retry
begin authenticators
external:
  driver = external
  public_name = EXTERNAL
  client_condition = \${if eq{$6}{auth}}
  client_send = alice
END
printf 'Subject: five\n\nbody\n' |
    "$EXIM" -C "$1/exim.conf" -odf -f a@sender.test far@away.test 2>&1 |
    grep -v 'lost privilege for using -C' || :
# What became of it stands in the log; times and ids are its own.
sed -n 's/^[-0-9: ]* [^ ]* \(\*\*\|==\|=>\) /\1 /p' "$1/mainlog" |
    grep far@away.test | sed 's/ C=.*//; s/:[0-9]* DN=/ DN=/'
