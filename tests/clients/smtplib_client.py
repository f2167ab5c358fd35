"""Python's smtplib: everything that its interface has, printed step by step."""

import smtplib
import ssl
import sys

MESSAGE = b"From: a@sender.test\r\nSubject: four\r\n\r\n.dot\r\nbody\r\n"


def step(name, call):
    try:
        print(name, call())
    except (smtplib.SMTPException, ssl.SSLError, ValueError) as error:
        print(name, type(error).__name__, error.args)


def dialogue(smtp):
    step("features", lambda: sorted(smtp.esmtp_features))
    step("vrfy", lambda: smtp.verify("user"))
    step("help", smtp.help)
    step("noop", smtp.noop)
    step("send", lambda: smtp.sendmail(
        "a@sender.test", ["user@example.test", "nobody@example.test"], MESSAGE,
        mail_options=["BODY=8BITMIME", "RET=HDRS"], rcpt_options=["NOTIFY=DELAY"]))
    step("refused", lambda: smtp.sendmail("a@sender.test", ["far@away.test"], MESSAGE))
    step("utf8", lambda: smtp.sendmail(
        "j\u00f6rg@sender.test", ["user@example.test"], MESSAGE, mail_options=["SMTPUTF8"]))
    step("login", lambda: smtp.login("user", "password"))
    step("unknown", lambda: smtp.docmd("FOO", "bar"))
    step("bdat", lambda: (smtp.mail("a@sender.test"), smtp.rcpt("user@example.test")))
    step("rset", smtp.rset)


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    with smtplib.SMTP(host, port, "client.test") as smtp:
        step("ehlo", smtp.ehlo)
        dialogue(smtp)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    smtp = smtplib.SMTP(host, port, "client.test")
    step("starttls", lambda: smtp.starttls(context=context))
    step("again", lambda: smtp.starttls(context=context))
    smtp.ehlo()
    step("send", lambda: smtp.sendmail("a@sender.test", ["user@example.test"], MESSAGE))
    step("quit", smtp.quit)


main()
