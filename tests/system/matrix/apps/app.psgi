# The matrix' application in PSGI (see matrix.py for what it answers).
use strict;
use warnings;
use Cwd;
use File::Basename;
use Time::HiRes;

my $release = basename(getcwd());

sub {
    my $env = shift;
    my $arrived = Time::HiRes::time();
    if ($env->{PATH_INFO} eq '/slow') {
        open my $file, '>', "$ENV{RUNTIME_DIRECTORY}/slow-request" or die "slow-request: $!";
        Time::HiRes::sleep(1);
    }
    my $body = sprintf "%s %d %d %.6f\n", $release, $$, getppid(), $arrived;
    return [200, ['Content-Type' => 'text/plain', 'Content-Length' => length $body], [$body]];
};
