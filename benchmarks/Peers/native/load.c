/* Echo load: CONNECTIONS connections, each with INFLIGHT messages of BYTES on the way; one thread, epoll.
 * Every byte that comes back is compared with the seeded pattern it was sent as.
 *
 *   load PORT PID CONNECTIONS BYTES INFLIGHT SEED raw|lines
 *
 * It connects, prints "ready", and obeys lines on stdin, so that windows of two servers can alternate:
 *   warm MIN_MS MAX_MS   runs MIN_MS, then until the server's JIT has been quiet for 0.5 s; prints "warm"
 *   run MS               closed loop: an echo is answered by the next message
 *   pace MS RATE         open loop: RATE messages a second over all connections, whatever the server does; a latency
 *                        counts from the time the message was due, not from when it could be sent
 * After run and pace no message is left on the way, so every message is counted with all its cost. They print:
 *   messages seconds server_cpu_ns load_cpu_ns p50_ns p99_ns p999_ns user_instructions cycles
 * Server CPU is the server's own CPU clock (clock_getcpuclockid(3): ns, all its threads, kernel side included);
 * instructions and cycles are -1 where the machine does not count them. */
#include "counters.h"
#include <sys/prctl.h>

enum { PATTERN = 1 << 16, QUEUE = 4096 };
enum { SUB_BITS = 5, SUBS = 1 << SUB_BITS, BUCKETS = 64 * SUBS }; /* log-linear histogram: 3 % wide buckets */

struct conn {
    int fd, wants_write;
    uint32_t send_at, receive_at; /* offsets in the pattern, modulo its length */
    uint32_t unsent;              /* bytes that may be sent now and were not taken yet */
    uint32_t part;                /* bytes of the message being received */
    uint32_t oldest, newest;      /* messages on the way: sent_at[oldest % QUEUE .. newest % QUEUE) */
    uint64_t *sent_at;
};

static unsigned char pattern[2 * PATTERN], scratch[4 * PATTERN];
static uint64_t histogram[BUCKETS], messages;
static uint32_t pattern_bytes, bytes, inflight;
static int poll_fd, count, answering;
static long on_the_way;
static struct conn *conns;

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
        ssize_t sent = send(c->fd, pattern + c->send_at, c->unsent < PATTERN ? c->unsent : PATTERN, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) die("send");
        c->unsent -= (uint32_t)sent;
        c->send_at = (c->send_at + (uint32_t)sent) % pattern_bytes;
    }
    if ((c->unsent > 0) == c->wants_write) return;
    c->wants_write = c->unsent > 0;
    struct epoll_event e = {EPOLLIN | (c->wants_write ? EPOLLOUT : 0), {.ptr = c}};
    if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0) die("epoll_ctl");
}

static void put(struct conn *c, uint64_t at) {
    if (c->newest - c->oldest == QUEUE) { errno = 0; die("the server is far behind the pace"); }
    c->sent_at[c->newest++ % QUEUE] = at;
    c->unsent += bytes;
    on_the_way++;
}

static void receive(struct conn *c) {
    ssize_t received = recv(c->fd, scratch, sizeof scratch, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) { if (received == 0) errno = 0; die("recv: the server closed"); }
    errno = 0;
    for (uint32_t at = 0; at < (uint32_t)received;) {
        uint32_t piece = (uint32_t)received - at < pattern_bytes ? (uint32_t)received - at : pattern_bytes;
        if (memcmp(scratch + at, pattern + c->receive_at, piece) != 0) die("the echo is not what was sent");
        c->receive_at = (c->receive_at + piece) % pattern_bytes;
        at += piece;
    }
    c->part += (uint32_t)received;
    uint64_t now = now_ns();
    for (; c->part >= bytes; c->part -= bytes) {
        if (c->oldest == c->newest) die("more came back than was sent");
        histogram[bucket(now - c->sent_at[c->oldest++ % QUEUE])]++, messages++, on_the_way--;
        if (answering) put(c, now);
    }
    if (c->unsent > 0) send_what_may_go(c);
}

/* Handles what is ready, waiting at most until a time; 0 when nothing came. */
static int turn(uint64_t until) {
    struct epoll_event events[256];
    uint64_t now = now_ns(), wait = until > now ? until - now : 0;
    struct timespec limit = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
    int ready = epoll_pwait2(poll_fd, events, 256, &limit, NULL);
    if (ready < 0 && errno != EINTR) die("epoll_pwait2");
    for (int i = 0; i < ready; i++) {
        if (events[i].events & EPOLLOUT) send_what_may_go(events[i].data.ptr);
        if (events[i].events & ~(uint32_t)EPOLLOUT) receive(events[i].data.ptr);
    }
    return ready;
}

static void drain(void) {
    answering = 0;
    while (on_the_way > 0)
        if (turn(now_ns() + 5000000000u) == 0) { errno = 0; die("no echo for 5 s"); }
}

static void closed_loop(uint64_t end) {
    answering = 1;
    for (int i = 0; i < count; i++) {
        for (uint32_t m = 0; m < inflight; m++) put(&conns[i], now_ns());
        send_what_may_go(&conns[i]);
    }
    while (now_ns() < end)
        if (turn(now_ns() + 5000000000u) == 0) { errno = 0; die("no echo for 5 s"); }
    drain();
}

static void open_loop(uint64_t begin, uint64_t end, double rate) {
    double gap = 1e9 / rate;
    for (uint64_t k = 0;;) {
        uint64_t due = begin + (uint64_t)((double)k * gap), now = now_ns();
        if (due >= end) break;
        for (; due <= now && due < end; due = begin + (uint64_t)((double)++k * gap)) {
            struct conn *c = &conns[k % (uint64_t)count];
            put(c, due);
            send_what_may_go(c);
        }
        turn(due < end ? due : end);
    }
    drain();
}

static void warm_up(int pid, uint64_t min_ns, uint64_t max_ns) {
    uint64_t start = now_ns(), before = 0;
    closed_loop(start + min_ns);
    uint64_t quiet_since = now_ns();
    for (uint64_t now; (now = now_ns()) < start + max_ns && now - quiet_since < 500000000;) {
        uint64_t jit = jit_ns(pid);
        if (jit > before + 500000) quiet_since = now;
        before = jit;
        closed_loop(now + 100000000);
    }
    puts("warm");
}

static void measure(int pid, clockid_t server_clock, uint64_t window_ns, double rate) {
    memset(histogram, 0, sizeof histogram);
    messages = 0;
    int counting = begin_counting(pid);
    uint64_t began = now_ns(), server = clock_ns(server_clock), load = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (rate > 0) open_loop(began, began + window_ns, rate);
    else closed_loop(began + window_ns);
    server = clock_ns(server_clock) - server;
    load = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - load;
    double seconds = (double)(now_ns() - began) / 1e9, instructions, cycles;
    end_counting(counting, &instructions, &cycles);
    printf("%llu %.6f %llu %llu %llu %llu %llu %.0f %.0f\n", (unsigned long long)messages, seconds,
        (unsigned long long)server, (unsigned long long)load, (unsigned long long)percentile(0.50),
        (unsigned long long)percentile(0.99), (unsigned long long)percentile(0.999), instructions, cycles);
}

static void make_pattern(uint64_t seed, int lines) {
    pattern_bytes = PATTERN / bytes * bytes; /* whole messages, so that a line ends where it should after the wrap */
    uint64_t random = seed * 2 + 1;
    for (uint32_t i = 0; i < pattern_bytes; i++) {
        unsigned char byte = (unsigned char)(next_random(&random) >> 24);
        pattern[i] = lines ? (i % bytes == bytes - 1 ? '\n' : (unsigned char)('a' + byte % 26)) : byte;
    }
    memcpy(pattern + pattern_bytes, pattern, pattern_bytes);
}

static void open_connections(int port) {
    conns = calloc((size_t)count, sizeof *conns);
    uint64_t *queues = calloc((size_t)count * QUEUE, sizeof *queues); /* touched only as far as it is used */
    if (conns == NULL || queues == NULL) die("calloc");
    for (int i = 0; i < count; i++) {
        struct conn *c = &conns[i];
        c->fd = connect_to(port, 0, 0);
        c->sent_at = queues + (size_t)i * QUEUE;
        /* every connection its own bytes, from the beginning of a message */
        c->send_at = c->receive_at = (uint32_t)i * 97 % (pattern_bytes / bytes) * bytes;
        struct epoll_event e = {EPOLLIN, {.ptr = c}};
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0) die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    if (argc != 8) { errno = EINVAL; die("load PORT PID CONNECTIONS BYTES INFLIGHT SEED raw|lines"); }
    int pid = atoi(argv[2]);
    count = atoi(argv[3]), bytes = (uint32_t)atoi(argv[4]), inflight = (uint32_t)atoi(argv[5]);
    if (count < 1 || bytes < 1 || bytes > PATTERN || inflight < 1 || inflight > QUEUE) { errno = ERANGE; die("size"); }
    make_pattern(strtoull(argv[6], 0, 10), strcmp(argv[7], "lines") == 0);
    allow_all_descriptors();
    prctl(PR_SET_TIMERSLACK, 1); /* 50 us otherwise: several messages late at every pace worth measuring */
    clockid_t server_clock;
    if ((errno = clock_getcpuclockid(pid, &server_clock)) != 0) die("clock_getcpuclockid");
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    open_connections(atoi(argv[1]));
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");

    char line[128];
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned long long first = 0, second = 0;
        if (sscanf(line, "warm %llu %llu", &first, &second) == 2) warm_up(pid, first * 1000000, second * 1000000);
        else if (sscanf(line, "run %llu", &first) == 1) measure(pid, server_clock, first * 1000000, 0);
        else if (sscanf(line, "pace %llu %llu", &first, &second) == 2)
            measure(pid, server_clock, first * 1000000, (double)second);
        else { errno = EINVAL; die(line); }
    }
    for (int i = 0; i < count; i++) reset(conns[i].fd);
    return 0;
}
