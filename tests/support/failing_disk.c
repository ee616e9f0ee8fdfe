/*
 * Runs a command whose reads, writes and flushes of files fail as soon as a file says so, as on a disk that breaks.
 *
 *   failing_disk FAULTS HITS COMMAND ARGUMENT...
 *
 * FAULTS has a line `OPERATION ERRNO PATTERN` per fault: OPERATION is read, write or flush, ERRNO a number, PATTERN what the path of the
 * file must match, in which * stands for any characters. It is read anew before each operation. HITS gets a line for each operation that
 * was made to fail.
 *
 * The kernel holds each of these system calls until a second process has looked at it (seccomp's user notification), so that it does
 * not matter whether the command makes them by the C library. The command keeps the process id.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    int number;
    const char *operation;
} CALLS[] = {
    {__NR_read, "read"},         {__NR_pread64, "read"},       {__NR_preadv, "read"},       {__NR_write, "write"},
    {__NR_pwrite64, "write"},    {__NR_pwritev, "write"},      {__NR_pwritev2, "write"},    {__NR_ftruncate, "write"},
    {__NR_fallocate, "write"},   {__NR_fsync, "flush"},        {__NR_fdatasync, "flush"},   {__NR_syncfs, "flush"},
    {__NR_sync_file_range, "flush"},
};
enum { COUNT = sizeof CALLS / sizeof CALLS[0] };

static void fail(const char *what) {
    fprintf(stderr, "failing_disk: %s: %s\n", what, strerror(errno));
    exit(77);
}

/* Has the kernel ask before each of CALLS; gives where it does. */
static int install_filter(void) {
    struct sock_filter code[COUNT + 3];
    code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < COUNT; i++)
        code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALLS[i].number, COUNT - i, 0);
    code[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = {COUNT + 3, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no_new_privs");
    int listener = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener < 0) fail("seccomp");
    return listener;
}

union control {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof(int))];
};

static void send_descriptor(int socket, int descriptor) {
    char byte = 0;
    struct iovec part = {&byte, 1};
    union control control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.head), &descriptor, sizeof descriptor);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (sendmsg(socket, &message, 0) != 1) fail("sendmsg");
}

static int receive_descriptor(int socket) {
    char byte;
    struct iovec part = {&byte, 1};
    union control control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int descriptor;
    if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message)) exit(0);
    memcpy(&descriptor, CMSG_DATA(&control.head), sizeof descriptor);
    return descriptor;
}

/* The number of the error that FAULTS has for an operation on a file, 0 for none. */
static int fault(const char *faults, const char *operation, const char *path) {
    char line[4200], wanted[16], pattern[4097];
    int number, found = 0;
    FILE *file = fopen(faults, "re");
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file))
        if (sscanf(line, "%15s %d %4096[^\n]", wanted, &number, pattern) == 3 && !strcmp(wanted, operation) &&
            !fnmatch(pattern, path, 0))
            found = number;
    fclose(file);
    return found;
}

/* Answers the kernel until the command and all that it has started are gone. */
static void supervise(int listener, const char *faults, const char *hits) {
    FILE *log = fopen(hits, "ae");
    if (!log) fail(hits);
    for (;;) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        if (poll(&ready, 1, -1) < 0 && errno != EINTR) return;
        if (ready.revents & (POLLHUP | POLLERR)) return;
        struct seccomp_notif asked;
        memset(&asked, 0, sizeof asked);
        /* Who was killed meanwhile asks no more. */
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) continue;
        const char *operation = "";
        for (int i = 0; i < COUNT; i++)
            if (CALLS[i].number == asked.data.nr) operation = CALLS[i].operation;
        char link[64], path[4097];
        snprintf(link, sizeof link, "/proc/%u/fd/%d", asked.pid, (int)asked.data.args[0]);
        ssize_t length = readlink(link, path, sizeof path - 1);
        path[length < 0 ? 0 : length] = 0;
        int number = path[0] == '/' ? fault(faults, operation, path) : 0;
        struct seccomp_notif_resp answer = {.id = asked.id};
        if (number) {
            answer.error = -number;
            /* Order: it is known before the command can act on it. */
            fprintf(log, "%s %d %s\n", operation, number, path);
            fflush(log);
        } else {
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

int main(int count, char **arguments) {
    int sockets[2];
    if (count < 4) {
        fprintf(stderr, "usage: failing_disk FAULTS HITS COMMAND ARGUMENT...\n");
        return 2;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets)) fail("socketpair");
    /* Order: who answers is there before the first question, and is not asked itself. */
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        close(sockets[0]);
        /* A test that is stopped from a terminal stops the command; this one ends with it. */
        setsid();
        supervise(receive_descriptor(sockets[1]), arguments[1], arguments[2]);
        return 0;
    }
    close(sockets[1]);
    int listener = install_filter();
    send_descriptor(sockets[0], listener);
    close(listener);
    execvp(arguments[3], arguments + 3);
    fail(arguments[3]);
}
