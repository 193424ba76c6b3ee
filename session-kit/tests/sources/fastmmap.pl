# The store of a Catalyst application: what Catalyst::Plugin::Session::Store::FastMmap does with Cache::FastMmap.
use strict;
use warnings;
use Cache::FastMmap;

my ($file) = @ARGV;
my %options = (raw_values => 0, share_file => $file, num_pages => 7, page_size => 65536, unlink_on_exit => 0);
my $cache = Cache::FastMmap->new(%options, init_file => 1);
$| = 1;
print "ready\n";

sub session {
    my ($number, $text, $end) = @_;
    my $id = sprintf '%040x', $number;
    $cache->set("session:$id", {user => $text, copy => $text, list => [1, undef, 'x']}) or die 'full';
    $cache->set("expires:$id", $end + 0) or die 'full';
}

while (my $line = <STDIN>) {
    my ($command, $count, $end) = split ' ', $line;
    if ($command eq 'fill') {
        session($_, 'a value that is removed', $end), $cache->remove(sprintf 'session:%040x', $_) for 0 .. $count - 1;
        session($_, "user $_", $end) for 0 .. $count - 1;
        print "$count\n";
    } elsif ($command eq 'sessions') {
        my @keys = $cache->get_keys(0);
        print scalar(grep { /^session:/ && $cache->get($_) } @keys), ' of ', scalar(@keys), "\n";
    } elsif ($command eq 'test') {
        # The library checks each page, and empties one that has a fault.
        my $again = Cache::FastMmap->new(%options, test_file => 1);
        print scalar(grep { /^session:/ } $again->get_keys(0)), " sound\n";
    } elsif ($command eq 'hold') {
        $cache->get_and_set('held', sub { print "held\n"; <STDIN>; return 1 });
        print "released\n";
    } elsif ($command eq 'churn') {
        session(int(rand(20)), 'x' x rand(2000), $end) for 1 .. $count;
        print "churned\n";
    }
}
