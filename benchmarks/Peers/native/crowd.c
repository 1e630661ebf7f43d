/* The load of bench broadcast: one client speaks, MEMBERS others listen; one thread, epoll. Every byte that a member
 * hears is compared with what was said.
 *
 *   crowd PORT PID MEMBERS BYTES INFLIGHT SEED lines
 *
 * It connects, speaks until every member has heard something, prints "ready", and obeys the lines that native/load.c
 * does, without "pace". A round is INFLIGHT lines of BYTES; the next begins when all members have heard it all, and a
 * message is a line that a member has heard. */
#include "counters.h"

enum { LINES = 256, EVENTS = 512 };

struct member { int fd, joined, ready; uint64_t heard; };

static unsigned char said[LINES * 1024 * 2], scratch[1 << 18];
static struct member *members;
static uint64_t round_bytes, missing, deliveries;
static int poll_fd, speaker, count, gathering, joined, ready;
static uint32_t bytes, inflight;

static void hear(struct member *m) {
    ssize_t received = recv(m->fd, scratch, sizeof scratch, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) { if (received == 0) errno = 0; die("recv: the server closed"); }
    if (gathering) {
        joined += !m->joined, m->joined = 1;
        if (!m->ready && memchr(scratch, '$', (size_t)received) != NULL) m->ready = 1;
        ready += m->ready && scratch[received - 1] == '\n';
        return;
    }
    for (size_t at = 0; at < (size_t)received;) {
        size_t offset = (size_t)((m->heard + at) % bytes), piece = (size_t)received - at;
        if (piece > sizeof said / 2) piece = sizeof said / 2;
        if (memcmp(scratch + at, said + offset, piece) != 0) { errno = 0; die("what was heard was not said"); }
        at += piece;
    }
    m->heard += (uint64_t)received;
    missing -= (uint64_t)received;
}

/* Hears what there is; 0 when nothing came for so long. */
static int turn(int milliseconds) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poll_fd, events, EVENTS, milliseconds);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < ready; i++) hear(events[i].data.ptr);
    return ready;
}

static void speak(size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(speaker, said + at, size - at, MSG_NOSIGNAL);
        if (sent < 0) die("send");
        at += (size_t)sent;
    }
}

static void rounds(uint64_t end) {
    do {
        missing = round_bytes * (uint64_t)count;
        speak(round_bytes);
        while (missing > 0)
            if (turn(5000) == 0) { errno = 0; die("not all heard it within 5 s"); }
        deliveries += (uint64_t)count * inflight;
    } while (now_ns() < end);
}

static void call(char what) {
    unsigned char kept[sizeof scratch / 16];
    memcpy(kept, said, bytes);
    memset(said, what, bytes - 1);
    speak(bytes);
    memcpy(said, kept, bytes);
}

/* Who joins late has not heard what was said before. So something is said until all have heard it, and then another
 * word, which is the last that each hears before the first round. */
static void gather(void) {
    gathering = 1;
    for (int tries = 0; joined < count; tries++) {
        if (tries == 200) { errno = 0; die("not all hear what is said"); }
        call('#');
        while (joined < count && turn(50) > 0) continue;
    }
    call('$');
    while (ready < count)
        if (turn(5000) == 0) { errno = 0; die("not all hear the last word"); }
    gathering = 0;
}

static void warm_up(int pid, uint64_t min_ns, uint64_t max_ns) {
    uint64_t start = now_ns(), before = 0;
    rounds(start + min_ns);
    uint64_t quiet_since = now_ns();
    for (uint64_t now; (now = now_ns()) < start + max_ns && now - quiet_since < 500000000;) {
        uint64_t jit = jit_ns(pid);
        if (jit > before + 500000) quiet_since = now;
        before = jit;
        rounds(now + 100000000);
    }
    puts("warm");
}

static void measure(int pid, clockid_t server_clock, uint64_t window_ns) {
    deliveries = 0;
    int counting = begin_counting(pid);
    uint64_t began = now_ns(), server = clock_ns(server_clock), load = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    rounds(began + window_ns);
    server = clock_ns(server_clock) - server;
    load = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - load;
    double instructions, cycles, seconds = (double)(now_ns() - began) / 1e9;
    end_counting(counting, &instructions, &cycles);
    printf("%llu %.6f %llu %llu 0 0 0 %.0f %.0f\n", (unsigned long long)deliveries, seconds,
        (unsigned long long)server, (unsigned long long)load, instructions, cycles);
}

int main(int argc, char **argv) {
    if (argc != 8) { errno = EINVAL; die("crowd PORT PID MEMBERS BYTES INFLIGHT SEED lines"); }
    int port = atoi(argv[1]), pid = atoi(argv[2]);
    count = atoi(argv[3]), bytes = (uint32_t)atoi(argv[4]), inflight = (uint32_t)atoi(argv[5]);
    if (count < 1 || bytes < 2 || bytes > 1024 || inflight < 1 || inflight > LINES) { errno = ERANGE; die("size"); }
    round_bytes = (uint64_t)bytes * inflight;
    uint64_t random = strtoull(argv[6], 0, 10) * 2 + 1;
    for (uint32_t i = 0; i < bytes; i++) said[i] = (unsigned char)('a' + next_random(&random) % 26);
    said[bytes - 1] = '\n';
    for (size_t i = bytes; i < sizeof said; i++) said[i] = said[i - bytes];
    allow_all_descriptors();
    clockid_t server_clock;
    if ((errno = clock_getcpuclockid(pid, &server_clock)) != 0) die("clock_getcpuclockid");
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    members = calloc((size_t)count, sizeof *members);
    if (members == NULL) die("calloc");
    for (int i = 0; i < count; i++) {
        members[i].fd = connect_to(port, 0x7f000001u + ((uint32_t)(1 + i / 10000) << 8), 0);
        struct epoll_event e = {EPOLLIN, {.ptr = &members[i]}};
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, members[i].fd, &e) != 0) die("epoll_ctl");
    }
    speaker = connect_to(port, 0, 1);
    gather();
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");

    char line[128];
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned long long first = 0, second = 0;
        if (sscanf(line, "warm %llu %llu", &first, &second) == 2) warm_up(pid, first * 1000000, second * 1000000);
        else if (sscanf(line, "run %llu", &first) == 1) measure(pid, server_clock, first * 1000000);
        else { errno = EINVAL; die(line); }
    }
    for (int i = 0; i < count; i++) reset(members[i].fd);
    reset(speaker);
    return 0;
}
