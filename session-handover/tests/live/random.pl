# Writes random structures of texts in Perl's formats, one per line: format, hexadecimal bytes, the structure as JSON.
# Arguments: a seed, a count, the formats.
use strict;
use warnings;
use Data::Dumper;
use JSON::PP;
use Storable qw(freeze nfreeze);

my ($seed, $count, @formats) = @ARGV;
srand $seed;
my $json = JSON::PP->new->canonical->ascii->allow_nonref;
my @letters = (map({ chr } 9, 10, 32 .. 126), "'", '"', '\\', '$', '@', ':', '#', '-', '~', ' ', "\n", "\x{e9}", "\x{20ac}", "\x{1f600}");

sub text {
    my $text = join '', map { $letters[rand @letters] } 1 .. rand(rand() < 0.2 ? 60 : 7);
    $text = (qw(~ yes no true 007 1e3 0x1f null - 1 -5 1234567890 2025-01-15 << = | >), '', ' ')[rand 19] if rand() < 0.2;
    utf8::upgrade($text);
    return $text;
}

sub value {
    my ($depth) = @_;
    my $kind = $depth > 3 ? 0 : rand;
    return [map { value($depth + 1) } 1 .. rand 4] if $kind > 0.8;
    return { map { (text() => value($depth + 1)) } 1 .. rand 4 } if $kind > 0.55;
    return undef if $kind > 0.5;
    return text();
}

for (1 .. $count) {
    my $session = { map { (text() => value(0)) } 1 .. rand 6 };
    for my $format (@formats) {
        my $bytes;
        if ($format eq 'native') { $bytes = freeze($session) }
        elsif ($format eq 'network') { $bytes = nfreeze($session) }
        elsif ($format eq 'yaml') {
            require YAML;
            $bytes = YAML::Dump($session);
            utf8::encode($bytes);
        }
        else {
            # As CGI::Session does.
            my $dump = Data::Dumper->new([$session], ['D']);
            $dump->Indent(0)->Purity(1)->Useqq(0)->Deepcopy(0)->Quotekeys(1)->Terse(0);
            $bytes = $dump->Dump . ';$D';
            utf8::downgrade($bytes);
        }
        print join("\t", $format, unpack('H*', $bytes), $json->encode($session)), "\n";
    }
}
