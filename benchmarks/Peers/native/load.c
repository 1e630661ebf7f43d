/* Echo load: CONNECTIONS connections, each with INFLIGHT messages of BYTES on the way; one thread, epoll.
 * Every byte that comes back is compared with the seeded pattern it was sent as. Server CPU is read from the server's
 * own CPU clock (clock_getcpuclockid(3), ns, all its threads) at both ends of the measured window.
 *
 * The warm-up goes on (to 6 times WARM_MS at most) until the server's JIT thread has been quiet for half a second: on a
 * busy machine that comes late, and whoever has more code to compile would pay for it inside the measured window.
 *
 *   load PORT PID CONNECTIONS BYTES INFLIGHT WARM_MS MEASURE_MS SEED
 *
 * Prints one line: messages seconds server_cpu_ns load_cpu_ns p50_ns p99_ns. Exit 1 and a line on stderr otherwise. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { PATTERN = 1 << 16, BYTES_MAX = 1 << 16, INFLIGHT_MAX = 64 };
enum { SUB_BITS = 5, SUBS = 1 << SUB_BITS, BUCKETS = 64 * SUBS }; /* log-linear histogram: 3 % wide buckets */

struct conn {
    int fd;
    uint32_t send_at, receive_at; /* offsets in the pattern, modulo PATTERN */
    uint32_t unsent;              /* bytes that may be sent now and were not taken yet */
    uint32_t part;                /* bytes of the message being received */
    uint32_t oldest;
    int wants_write;
    uint64_t sent_at[INFLIGHT_MAX];
};

static unsigned char pattern[PATTERN + BYTES_MAX], scratch[BYTES_MAX * 4];
static uint64_t histogram[BUCKETS], messages;
static int poll_fd, bytes, inflight, measuring;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "no");
    exit(1);
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) die("clock_gettime");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int bucket(uint64_t ns) {
    if (ns < SUBS) return (int)ns;
    int shift = 63 - __builtin_clzll(ns) - SUB_BITS;
    return (shift + 1) * SUBS + (int)((ns >> shift) - SUBS);
}

static uint64_t percentile(double part) {
    uint64_t seen = 0, wanted = (uint64_t)(part * (double)messages);
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += histogram[i]) > wanted)
            return i < SUBS ? (uint64_t)i : (uint64_t)(SUBS + i % SUBS) << (i / SUBS - 1);
    return 0;
}

static void send_what_may_go(struct conn *c) {
    while (c->unsent > 0) {
        ssize_t sent = send(c->fd, pattern + c->send_at, c->unsent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) die("send");
        c->unsent -= (uint32_t)sent;
        c->send_at = (c->send_at + (uint32_t)sent) % PATTERN;
    }
    if ((c->unsent > 0) != c->wants_write) {
        c->wants_write = c->unsent > 0;
        struct epoll_event e = {EPOLLIN | (c->wants_write ? EPOLLOUT : 0), {.ptr = c}};
        if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0) die("epoll_ctl");
    }
}

static void receive(struct conn *c) {
    ssize_t received = recv(c->fd, scratch, sizeof scratch, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) { if (received == 0) errno = 0; die("recv: the server closed"); }
    errno = 0;
    for (ssize_t at = 0; at < received;) { /* the pattern wraps */
        ssize_t piece = received - at < BYTES_MAX ? received - at : BYTES_MAX;
        if (memcmp(scratch + at, pattern + c->receive_at, (size_t)piece) != 0) die("the echo is not what was sent");
        c->receive_at = (c->receive_at + (uint32_t)piece) % PATTERN;
        at += piece;
    }
    c->part += (uint32_t)received;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    for (; c->part >= (uint32_t)bytes; c->part -= (uint32_t)bytes, c->unsent += (uint32_t)bytes) {
        if (measuring) histogram[bucket(now - c->sent_at[c->oldest])]++, messages++;
        c->sent_at[c->oldest] = now;
        c->oldest = (c->oldest + 1) % (uint32_t)inflight;
    }
    send_what_may_go(c);
}

static void run_until(uint64_t end) {
    struct epoll_event events[256];
    while (clock_ns(CLOCK_MONOTONIC) < end) {
        int ready = epoll_wait(poll_fd, events, 256, 5000);
        if (ready == 0) { errno = 0; die("no echo for 5 s"); }
        for (int i = 0; i < ready; i++) {
            if (events[i].events & EPOLLOUT) send_what_may_go(events[i].data.ptr);
            if (events[i].events & ~EPOLLOUT) receive(events[i].data.ptr);
        }
    }
}

/* CPU of the threads that compile, from their schedstat; 0 where there are none. */
static uint64_t jit_ns(int pid) {
    char path[96], comm[32];
    uint64_t total = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) die("the server has no /proc entry");
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", pid, task->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL) continue;
        int is_jit = fgets(comm, sizeof comm, file) != NULL && strncmp(comm, ".NET Tiered", 11) == 0;
        fclose(file);
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", pid, task->d_name);
        unsigned long long ns;
        if (!is_jit || (file = fopen(path, "re")) == NULL) continue;
        if (fscanf(file, "%llu", &ns) == 1) total += ns;
        fclose(file);
    }
    closedir(tasks);
    return total;
}

static void warm_up(int pid, uint64_t warm_ns) {
    uint64_t start = clock_ns(CLOCK_MONOTONIC), before = 0;
    run_until(start + warm_ns);
    uint64_t quiet_since = clock_ns(CLOCK_MONOTONIC);
    for (uint64_t now; (now = clock_ns(CLOCK_MONOTONIC)) < start + 6 * warm_ns && now - quiet_since < 500000000;) {
        uint64_t jit = jit_ns(pid);
        if (jit > before + 500000) quiet_since = now;
        before = jit;
        run_until(now + 100000000);
    }
}

static void open_connections(struct conn *conns, int count, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        struct conn *c = &conns[i];
        int one = 1;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {EPOLLIN, {.ptr = c}};
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0) die("epoll_ctl");
    }
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < count; i++) {
        conns[i].send_at = conns[i].receive_at = (uint32_t)i * 97 % PATTERN; /* every connection its own bytes */
        conns[i].unsent = (uint32_t)(bytes * inflight);
        for (int m = 0; m < inflight; m++) conns[i].sent_at[m] = now;
        send_what_may_go(&conns[i]);
    }
}

int main(int argc, char **argv) {
    if (argc != 9) { errno = EINVAL; die("load PORT PID CONNECTIONS BYTES INFLIGHT WARM_MS MEASURE_MS SEED"); }
    int count = atoi(argv[3]);
    bytes = atoi(argv[4]), inflight = atoi(argv[5]);
    if (count < 1 || bytes < 1 || inflight < 1 || inflight > INFLIGHT_MAX || bytes * inflight > BYTES_MAX)
        { errno = ERANGE; die("arguments"); }
    uint64_t random = strtoull(argv[8], 0, 10) * 2 + 1;
    for (int i = 0; i < PATTERN; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        pattern[i] = (unsigned char)(random >> 24);
    }
    memcpy(pattern + PATTERN, pattern, PATTERN);

    clockid_t server_clock;
    if ((errno = clock_getcpuclockid(atoi(argv[2]), &server_clock)) != 0) die("clock_getcpuclockid");
    struct conn *conns = calloc((size_t)count, sizeof *conns);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    open_connections(conns, count, atoi(argv[1]));

    warm_up(atoi(argv[2]), strtoull(argv[6], 0, 10) * 1000000);
    uint64_t measured = strtoull(argv[7], 0, 10) * 1000000, began = clock_ns(CLOCK_MONOTONIC);
    uint64_t server_cpu = clock_ns(server_clock), load_cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    measuring = 1;
    run_until(began + measured);
    server_cpu = clock_ns(server_clock) - server_cpu;
    load_cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - load_cpu;
    double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - began) / 1e9;
    if (messages == 0) { errno = 0; die("no message came back"); }
    printf("%llu %.6f %llu %llu %llu %llu\n", (unsigned long long)messages, seconds, (unsigned long long)server_cpu,
        (unsigned long long)load_cpu, (unsigned long long)percentile(0.50), (unsigned long long)percentile(0.99));
    return 0;
}
