# A message by openssl s_client: SERVER CERTIFICATE KEY starttls|wrapper|auth.
# To s_client a line that begins with R or Q is an order, so commands are written small.
set -eu
starttls='-starttls smtp -name client.test'
auth=
case $4 in
    wrapper) starttls= ;;
    auth) auth='auth external =\n' ;;
esac
printf "ehlo client.test\n${auth}mail from:<a@sender.test>\nrcpt to:<far@away.test>\ndata\n\
Subject: one\n\nbody\n.\nquit\n" |
    openssl s_client -quiet -crlf -cert "$2" -key "$3" $starttls -connect "$1" 2>/dev/null
