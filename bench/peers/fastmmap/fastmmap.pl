#!/usr/bin/perl
# Cache::FastMmap, as a subject of the bench: takes the words that every subject takes, and prints its figures as one
# line of JSON. The keys and the order in which they are drawn are in files that the bench has written to its directory.
use strict;
use warnings;

use Cache::FastMmap;
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID);

use constant { BATCH => 64, PATIENCE => 60 };

my %args = @ARGV;
my ($process, $processes) = @args{qw(--process --processes)};

# Pages of the default size, so many that none of them ever has to evict; values as they are, without a serializer. A
# session has a deadline, so each has one here.
my $cache = Cache::FastMmap->new(
    share_file     => "$args{'--dir'}/cache",
    init_file      => $args{'--work'} eq 'prepare',
    unlink_on_exit => 0,
    page_size      => '64k',
    num_pages      => 4099,
    raw_values     => 1,
    expire_time    => '1d',
);

my @keys = lines('keys');
# Letters that are the same in every run; what a value begins with is different in each write.
srand 3;
my $rest = join '', map { chr(ord('a') + int rand 26) } 17 .. $args{'--size'};
# A number that no earlier run counted from.
my $turn = $$ << 40;

if ($args{'--work'} eq 'prepare') {
    $cache->set($_, sprintf('%016x', 0) . $rest) for @keys;
    printf "{\"records\":%d}\n", scalar @keys;
    exit;
}

my @draws = lines('draws');
my $share = int(@draws / $processes);
@draws = @draws[$process * $share .. ($process + 1) * $share - 1];

my $once;
if ($args{'--work'} eq 'retrieve') {
    $once = sub { defined $cache->get($_[0]) };
} elsif ($args{'--work'} eq 'store') {
    # Each record belongs to one process.
    @draws = map { my $own = $_ - $_ % $processes + $process; $own < @keys ? $own : $process } @draws;
    $once = sub { $cache->set($_[0], sprintf('%016x', ++$turn) . $rest) };
} else {
    die "$args{'--work'} is not the work of this cache\n";
}
my @list = @keys[@draws];

my $failed = meet() ? 0 : 1;
my ($place, $done) = (0, 0);
run_for($args{'--warm-up'});
$done = 0;
my ($start, $cpu) = (clock_gettime(CLOCK_MONOTONIC), clock_gettime(CLOCK_PROCESS_CPUTIME_ID));
run_for($args{'--millis'});
my $elapsed = clock_gettime(CLOCK_MONOTONIC) - $start;
$cpu = clock_gettime(CLOCK_PROCESS_CPUTIME_ID) - $cpu;
printf "{\"rate\":%f,\"cpu_ns\":%f,\"failed\":%d}\n", $done / $elapsed, $cpu * 1e9 / $done, $failed;

sub run_for {
    my $end = clock_gettime(CLOCK_MONOTONIC) + $_[0] / 1000;
    while (clock_gettime(CLOCK_MONOTONIC) < $end) {
        for (1 .. BATCH) {
            $place = 0 if ++$place == @list;
            $once->($list[$place]) or $failed++;
        }
        $done += BATCH;
    }
}

# Waits until all processes of the work have come to this point.
sub meet {
    return 1 if $processes == 1;
    my $place = $args{'--meeting'};
    open my $here, '>', "$place/$process" or return 0;
    my $end = clock_gettime(CLOCK_MONOTONIC) + PATIENCE;
    while (grep { !-e "$place/$_" } 0 .. $processes - 1) {
        return 0 if clock_gettime(CLOCK_MONOTONIC) > $end;
        sleep 0.001;
    }
    return 1;
}

sub lines {
    open my $file, '<', "$args{'--dir'}/$_[0]" or die "$args{'--dir'}/$_[0]: $!\n";
    chomp(my @lines = <$file>);
    return @lines;
}
