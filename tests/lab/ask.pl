# perl - HOST PORT COUNT [PATH]: asks a web service COUNT times and prints each answer's first line, or "error: ..." for a
# request that got none within 5 s. COUNT may be until:FILE: 20 times a second until the file is there (10 minutes at most).
# Runs on lab machines (ssh NODE perl - ... <ask.pl), which have no curl; needs perl-base.
use strict;
use warnings;
use IO::Socket::INET;
my ($host, $port, $count, $path) = @ARGV;
$path //= '/';
$| = 1;
my ($until) = $count =~ /^until:(.+)/;
$count = 12000 if $until;
for (1 .. $count) {
    last if $until && -e $until;
    my $line = eval {
        local $SIG{ALRM} = sub { die "no answer within 5 s\n" };
        alarm 5;
        my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => 'tcp') or die "connect: $!\n";
        print $s "GET $path HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n" or die "write: $!\n";
        my $answer = do { local $/; <$s> };
        die "connection closed without an answer\n" if !defined $answer || $answer eq '';
        my ($status, $body) = $answer =~ m{^HTTP/1\.[01] (\d+)[^\n]*\n.*?\r?\n\r?\n([^\n]*)}s;
        die "no HTTP answer\n" if !defined $status;
        die "status $status\n" if $status != 200;
        $body;
    };
    alarm 0;
    if (!defined $line) { $line = "error: $@"; chomp $line; }
    print "$line\n";
    select(undef, undef, undef, 0.05) if $until;
}
