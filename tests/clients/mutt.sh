# A message by mutt: DIRECTORY CA CERTIFICATE-AND-KEY URL.
set -eu
export HOME="$1"
cat >"$1/muttrc" <<END
set hostname = client.test
set use_domain = no
set realname = ''
set from = a@sender.test
set use_envelope_from = yes
set envelope_from_address = a@sender.test
set copy = no
set certificate_file = $2
set ssl_client_cert = $3
set ssl_verify_host = no
set ssl_force_tls = yes
set smtp_url = $4
END
case $4 in
    *alice*) echo 'set smtp_authenticators = external' >>"$1/muttrc" ;;
esac
echo body | mutt -n -F "$1/muttrc" -s four far@away.test
