# Starman without loss at its end. Perl loads it into Starman, before the application:
#
#     starman -I /usr/lib/herder -M HerderStarman [OPTION ...] app.psgi
#
# On SIGQUIT Starman's master sends its children SIGHUP. A child that has accepted a connection, and has not yet noted that
# it has, would end at once; and one that waits for the request would take the signal for an error of the connection. Here
# the signal is only noted: the child answers what it has accepted, and ends before it accepts again. Perl runs its handlers
# between two operations, so a connection is either accepted or still in the queue of the socket, for another worker.
package HerderStarman;
use strict;
use warnings;
use Starman::Server;

package Starman::Server;
use Errno;
use POSIX ();

{
    no warnings 'redefine';
    my $init = \&child_init_hook;
    *child_init_hook = sub {
        my $self = shift;
        $self->_end_on_hup(POSIX::SA_RESTART);
        $self->$init(@_);
    };
}

# With SA_RESTART a system call goes on after the signal.
sub _end_on_hup {
    my ($self, $flags) = @_;
    my $action = POSIX::SigAction->new(sub { $self->{server}{SigHUPed} = 1 }, POSIX::SigSet->new, $flags);
    $action->safe(1);
    POSIX::sigaction(POSIX::SIGHUP, $action);
}

# As Net::Server has it, but for the signal, which ends the wait (EINTR).
sub accept {
    my $self = shift;
    my $server = $self->{server};
    return $self->SUPER::accept(@_) if $server->{multi_port};
    $self->_end_on_hup(0);
    until ($server->{SigHUPed}) {
        if ($server->{client} = $server->{sock}[0]->accept) {
            $self->_end_on_hup(POSIX::SA_RESTART);
            return 1;
        }
        next if $!{EINTR};
        $self->log(1, "accept: $!");
        sleep 1;
    }
    return 0;
}

1;
