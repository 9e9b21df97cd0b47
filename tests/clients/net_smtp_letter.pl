# Sends the letter with Perl's Net::SMTP. README.md beside this says what the arguments and variables are.
use strict;
use warnings;
use Authen::SASL;
use JSON::PP qw(decode_json);
use Net::SMTP;

my ($folder, $host, $port, $count) = @ARGV;
my $tls = $ENV{RELAY_TLS} // 'none';

sub slurp {
    my ($name) = @_;
    open my $file, '<:raw', "$folder/$name" or die "$name: $!";
    local $/ = undef;
    return scalar <$file>;
}

my $letter = decode_json(slurp('letter.json'));
my $eml = slurp('letter.eml');
$eml =~ s/\n/\r\n/g;
my @recipients = map { $_->{address} } map { @{ $letter->{$_} } } qw(to cc bcc);

# Verification of chain and name is what IO::Socket::SSL does unless told otherwise.
my %verify = $ENV{RELAY_CA} ? (SSL_ca_file => $ENV{RELAY_CA}) : ();
my $smtp = Net::SMTP->new(
    $host,
    Port => $port,
    Hello => 'perl.example',
    Timeout => 20,
    ($tls eq 'implicit' ? (SSL => 1, %verify) : ()),
) or die "cannot connect: $@";

sub said { return $smtp->code . ' ' . $smtp->message }

if ($tls eq 'starttls') {
    $smtp->starttls(%verify) or die "STARTTLS: $@ $IO::Socket::SSL::SSL_ERROR " . said();
}
if ($ENV{RELAY_USER}) {
    my @credentials = ($ENV{RELAY_USER}, $ENV{RELAY_PASSWORD});
    if ($ENV{RELAY_MECHANISM}) {
        @credentials = Authen::SASL->new(
            mechanism => $ENV{RELAY_MECHANISM},
            callback => { user => $ENV{RELAY_USER}, authname => '', pass => $ENV{RELAY_PASSWORD} },
        );
    }
    $smtp->auth(@credentials) or die 'AUTH: ' . said();
}
for my $number (0 .. $count - 1) {
    # letter.eml is that of number 0.
    (my $message = $eml) =~ s/^(Message-ID: <)0\./$1$number./m;
    my @envelope = $ENV{RELAY_NOTIFY} ? (Return => 'HDRS', Envelope => "letter-$number") : ();
    my @notify = $ENV{RELAY_NOTIFY} ? ({ Notify => [ 'FAILURE', 'DELAY' ] }) : ();
    $smtp->mail($letter->{from}{address}, @envelope) or die 'MAIL: ' . said();
    $smtp->recipient(@recipients, @notify) or die 'RCPT: ' . said();
    $smtp->data() or die 'DATA: ' . said();
    $smtp->datasend($message) or die 'content: ' . said();
    $smtp->dataend() or die 'end of the content: ' . said();
}
$smtp->quit();
