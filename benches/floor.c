/* The floor for benches/spawn.rs: the least a launcher can do, in C.
 *
 * With -DWORKER: a worker without libc that writes the time of its first instructions to its
 * descriptor 3 and waits. Otherwise the launcher: WORKER SAMPLES PAUSE_MS, which kills the worker,
 * waits for its end and starts the next, with the system calls herder's linux::spawn makes, and prints two
 * numbers for each: nanoseconds from the SIGKILL to the worker's first instructions, and those the
 * call took that started it. */

#ifdef WORKER

static long call(long number, long a, long b, long c)
{
    long result;
#if defined(__x86_64__)
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x8 __asm__("x8") = number;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory");
    result = x0;
#endif
    return result;
}

#include <sys/syscall.h>

void _start(void)
{
    long now[2];
    call(SYS_clock_gettime, 1, (long)now, 0);
    call(SYS_write, 3, (long)now, sizeof now);
    for (;;)
        call(SYS_ppoll, 0, 0, 0);
}

#else
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *worker, *argv[2], *envp[3], listen_pid[32] = "LISTEN_PID=";
static int output;

static long nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static int child(void *unused)
{
    static const unsigned long none[4];
    (void)unused;
    for (int signal = 1; signal <= 64; signal++)
        syscall(SYS_rt_sigaction, signal, none, NULL, 8);
    setsid();
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(output, 3);
    close_range(4, ~0U, CLOSE_RANGE_CLOEXEC);
    snprintf(listen_pid + 11, 12, "%d", getpid());
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, NULL, 8);
    execve(worker, argv, envp);
    _exit(127);
}

int main(int count, char **arguments)
{
    static const unsigned long all = ~0UL;
    unsigned long before;
    int pipes[2], pidfd = -1, loop = epoll_create1(EPOLL_CLOEXEC);
    size_t size = 65536;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (count != 4 || loop < 0 || stack == MAP_FAILED || pipe2(pipes, O_CLOEXEC) < 0)
        err(1, "usage: floor WORKER SAMPLES PAUSE_MS");
    worker = argv[0] = arguments[1];
    envp[0] = listen_pid;
    envp[1] = "LISTEN_FDS=1";
    output = pipes[1];
    for (int left = atoi(arguments[2]); left >= 0; left--) {
        struct epoll_event event = { .events = EPOLLIN };
        struct timespec first;
        siginfo_t info;
        long killed = 0, started;
        if (pidfd >= 0) {
            poll(NULL, 0, atoi(arguments[3]));
            killed = nanoseconds();
            syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
            if (epoll_wait(loop, &event, 1, -1) != 1)
                err(1, "epoll_wait");
            waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG | WNOWAIT);
        }
        int old = pidfd;
        started = nanoseconds();
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
        int pid = clone(child, stack + size, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, NULL, &pidfd);
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
        long took = nanoseconds() - started;
        if (pid < 0 || read(pipes[0], &first, sizeof first) != sizeof first)
            err(1, "clone");
        if (old >= 0) {
            printf("%ld %ld\n", first.tv_sec * 1000000000L + first.tv_nsec - killed, took);
            waitid(P_PIDFD, old, &info, WEXITED);
            close(old);
        }
        event.events = EPOLLIN;
        if (epoll_ctl(loop, EPOLL_CTL_ADD, pidfd, &event) < 0)
            err(1, "epoll_ctl");
    }
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    return 0;
}
#endif
