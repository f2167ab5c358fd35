# Perl's Net::SMTP: a message, refusals, and a message in plain SMTP.
use strict;
use warnings;
use Net::SMTP;

my ($host, $port) = @ARGV;

sub step {
    my ($smtp, $name, $result) = @_;
    $result = defined $result ? $result : 'undef';
    print "$name $result ", $smtp->code, ' ', join('|', $smtp->message);
}

for my $hello ('client.test', 'other.client.test') {
    my $smtp = Net::SMTP->new($host, Port => $port, Hello => $hello, Timeout => 20) or die "no: $@";
    print 'banner ', $smtp->banner;
    step($smtp, 'mail', $smtp->mail('a@sender.test', Bits => '8', Return => 'HDRS', Envelope => 'x+y'));
    step($smtp, 'to', scalar $smtp->to('user@example.test', 'nobody@example.test', { Notify => ['FAILURE'], SkipBad => 1 }));
    step($smtp, 'data', $smtp->data("Subject: five\n", "\n", ".dot\n", "body\n"));
    step($smtp, 'verify', $smtp->verify('user'));
    step($smtp, 'reset', $smtp->reset);
    step($smtp, 'expand', $smtp->expand('user'));
    step($smtp, 'help', $smtp->help('x'));
    step($smtp, 'quit', $smtp->quit);
}
